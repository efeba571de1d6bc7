// A web application with github.com/coreos/go-oidc and golang.org/x/oauth2, set up as go-oidc's example idtoken does: state and
// nonce, no PKCE. After the sign-in it calls userinfo, verifies the access token as a resource server, and refreshes.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const callbackPath = "/auth/callback"

type app struct {
	provider *oidc.Provider
	config   oauth2.Config
}

func main() {
	provider, err := oidc.NewProvider(context.Background(), os.Getenv("ISSUER"))
	if err != nil {
		log.Fatal(err)
	}
	address := "127.0.0.1:" + os.Getenv("PORT")
	a := &app{provider, oauth2.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		Endpoint:     provider.Endpoint(),
		RedirectURL:  "http://" + address + callbackPath,
		Scopes:       []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, "read"},
	}}
	http.HandleFunc("/", a.login)
	http.HandleFunc(callbackPath, func(w http.ResponseWriter, r *http.Request) {
		result, err := a.callback(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Println(result)
		fmt.Fprintln(w, result)
	})
	log.Fatal(http.ListenAndServe(address, nil))
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	state, nonce := rand.Text(), rand.Text()
	for name, value := range map[string]string{"state": state, "nonce": nonce} {
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 3600, HttpOnly: true})
	}
	http.Redirect(w, r, a.config.AuthCodeURL(state, oidc.Nonce(nonce)), http.StatusFound)
}

func (a *app) callback(r *http.Request) (string, error) {
	ctx := r.Context()
	state, err := r.Cookie("state")
	if err != nil || r.URL.Query().Get("state") != state.Value {
		return "", fmt.Errorf("state did not match: %v", r.URL.Query())
	}
	token, err := a.config.Exchange(ctx, r.URL.Query().Get("code"))
	if err != nil {
		return "", fmt.Errorf("token request: %w", err)
	}
	name, err := a.verifyIDToken(r, token)
	if err != nil {
		return "", err
	}
	info, err := a.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return "", fmt.Errorf("userinfo: %w", err)
	}
	// The audience of an access token is the API. go-oidc's documentation names this verifier for other tokens than ID tokens.
	verifier := a.provider.VerifierContext(context.Background(), &oidc.Config{ClientID: os.Getenv("AUDIENCE")})
	if _, err := verifier.Verify(ctx, token.AccessToken); err != nil {
		return "", fmt.Errorf("access token: %w", err)
	}
	next, err := a.config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		return "", fmt.Errorf("refresh: %w", err)
	}
	if next.AccessToken == token.AccessToken {
		return "", fmt.Errorf("the refresh returned the same access token")
	}
	return fmt.Sprintf("go-oidc × login, ID token, userinfo, access token, refresh × %s <%s>", name, info.Email), nil
}

func (a *app) verifyIDToken(r *http.Request, token *oauth2.Token) (string, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", fmt.Errorf("no id_token in the token response")
	}
	idToken, err := a.provider.Verifier(&oidc.Config{ClientID: a.config.ClientID}).Verify(r.Context(), raw)
	if err != nil {
		return "", fmt.Errorf("ID token: %w", err)
	}
	nonce, err := r.Cookie("nonce")
	if err != nil || idToken.Nonce != nonce.Value {
		return "", fmt.Errorf("nonce did not match")
	}
	if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
		return "", fmt.Errorf("at_hash: %w", err)
	}
	var claims struct {
		PreferredUsername string `json:"preferred_username"`
	}
	if err := idToken.Claims(&claims); err != nil {
		return "", err
	}
	return claims.PreferredUsername, nil
}
