// A web application with the relying party of github.com/zitadel/oidc, set up as its example client/app does. A client with a
// secret sends neither nonce nor PKCE, unless PKCE is set.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const callbackPath = "/auth/callback"

func main() {
	secret, address := os.Getenv("CLIENT_SECRET"), "127.0.0.1:"+os.Getenv("PORT")
	key := []byte(rand.Text()[:16])
	cookies := httphelper.NewCookieHandler(key, key, httphelper.WithUnsecure())
	options := []rp.Option{
		rp.WithCookieHandler(cookies),
		rp.WithVerifierOpts(rp.WithIssuedAtOffset(5 * time.Second)),
		rp.WithSigningAlgsFromDiscovery(),
	}
	how := "client secret, no PKCE"
	if secret == "" || os.Getenv("PKCE") != "" {
		options = append(options, rp.WithPKCE(cookies))
		how = "client secret and PKCE"
	}
	if secret == "" {
		how = "public client, PKCE"
	}
	scopes := []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
	ctx, redirectURI := context.Background(), "http://"+address+callbackPath
	provider, err := rp.NewRelyingPartyOIDC(ctx, os.Getenv("ISSUER"), os.Getenv("CLIENT_ID"), secret, redirectURI, scopes, options...)
	if err != nil {
		log.Fatal(err)
	}
	show := func(
		w http.ResponseWriter, r *http.Request, tokens *oidc.Tokens[*oidc.IDTokenClaims], _ string, party rp.RelyingParty, info *oidc.UserInfo,
	) {
		if _, err := rp.RefreshTokens[*oidc.IDTokenClaims](r.Context(), party, tokens.RefreshToken, "", ""); err != nil {
			http.Error(w, "refresh: "+err.Error(), http.StatusInternalServerError)
			return
		}
		person := fmt.Sprintf("%s <%s>", tokens.IDTokenClaims.PreferredUsername, info.Email)
		result := fmt.Sprintf("zitadel/oidc × login, ID token, userinfo, refresh (%s) × %s", how, person)
		fmt.Println(result)
		fmt.Fprintln(w, result)
	}
	http.Handle("/", rp.AuthURLHandler(rand.Text, provider))
	http.Handle(callbackPath, rp.CodeExchangeHandler(rp.UserinfoCallback(show), provider))
	log.Fatal(http.ListenAndServe(address, nil))
}
