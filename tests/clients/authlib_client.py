"""Authlib (PyPI), unmodified, from discovery to logout."""
import os

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the test's origin is on loopback, without TLS

import time
from urllib.parse import urlencode

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import get_well_known_url
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url as get_openid_url
from joserfc import jwt as jose
from joserfc.jwk import ECKey, KeySet

from protocol import ask, must, refused, settings, step

ISSUER = settings["issuer"]
WEB, SPA, TV = settings["web"], settings["spa"], settings["tv"]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def discover():
    plain = requests.get(get_well_known_url(ISSUER, external=True)).json()
    step("discovery_oauth2")
    metadata = requests.get(get_openid_url(ISSUER, external=True)).json()
    must(plain["issuer"] == metadata["issuer"] == ISSUER, "the issuer")
    step("discovery")
    return metadata


def credentials(server):
    url = server["token_endpoint"]
    for who, method in [(WEB, "client_secret_basic"), (settings["post"], "client_secret_post")]:
        session = OAuth2Session(who["id"], who["secret"], token_endpoint_auth_method=method)
        must(session.fetch_token(url, grant_type="client_credentials", scope="read")["scope"] == "read", "the scope")
        step(method)
    key = settings["jwt"]["key"]
    session = OAuth2Session(settings["jwt"]["id"], ECKey.import_key(key), token_endpoint_auth_method="private_key_jwt")
    session.register_client_auth_method(PrivateKeyJWT(url, headers={"kid": key["kid"]}, alg="ES256"))
    session.fetch_token(url, grant_type="client_credentials")
    step("private_key_jwt")


def session_of(who, **more):
    return OAuth2Session(
        who["id"],
        who.get("secret"),
        scope="openid email read",
        redirect_uri=who["redirect_uri"],
        code_challenge_method="S256",
        **more,
    )


def id_token(server, who, token, nonce):
    """Validates as authlib's own web integrations do."""
    keys = KeySet.import_key_set(requests.get(server["jwks_uri"]).json())
    decoded = jose.decode(token["id_token"], keys, algorithms=server["id_token_signing_alg_values_supported"])
    params = {"nonce": nonce, "client_id": who["id"], "access_token": token["access_token"]}
    claims = CodeIDToken(decoded.claims, decoded.header, {"iss": {"values": [ISSUER]}}, params)
    claims.validate(leeway=5)
    return claims


def code(server, who):
    session, nonce, verifier = session_of(who), generate_token(), generate_token(48)
    url, state = session.create_authorization_url(server["authorization_endpoint"], nonce=nonce, code_verifier=verifier)
    callback = ask("authorize", url)
    redeem = lambda: session.fetch_token(
        server["token_endpoint"], authorization_response=callback, state=state, code_verifier=verifier
    )
    token = redeem()
    return session, token, id_token(server, who, token, nonce), redeem


def use(server):
    session, token, _, redeem = code(server, WEB)
    step("code")
    refused(redeem, "invalid_grant")
    step("code_replayed")
    session, token, claims, _ = code(server, WEB)
    user = session.get(server["userinfo_endpoint"]).json()
    must(user["sub"] == claims["sub"] and user["email"] == "alice@example.com", "the person")
    step("userinfo")
    introspect = lambda of: session.introspect_token(server["introspection_endpoint"], token=of).json()
    must(introspect(token["access_token"])["active"], "a live token")
    step("introspection")
    first = token["refresh_token"]
    token = session.refresh_token(server["token_endpoint"], first)
    must(token["refresh_token"] != first, "a rotated token")
    step("refresh")
    exchanged = session.fetch_token(
        server["token_endpoint"],
        grant_type=EXCHANGE,
        subject_token=token["access_token"],
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
        scope="read",
    )
    must(exchanged["scope"] == "read", "a narrower token")
    step("token_exchange")
    session.revoke_token(server["revocation_endpoint"], token=token["refresh_token"]).raise_for_status()
    refused(lambda: session.refresh_token(server["token_endpoint"], token["refresh_token"]), "invalid_grant")
    must(introspect(token["access_token"]) == {"active": False}, "the grant is revoked")
    step("revocation")


def public(server):
    session, token, _, _ = code(server, SPA)
    token = session.refresh_token(server["token_endpoint"], token["refresh_token"])
    must(token["access_token"], "a token")
    step("public")


def device(server):
    answer = requests.post(server["device_authorization_endpoint"], data={"client_id": TV["id"], "scope": "openid read"})
    started = answer.json()
    session = OAuth2Session(TV["id"], token_endpoint_auth_method="none")
    poll = lambda: session.fetch_token(server["token_endpoint"], grant_type=DEVICE, device_code=started["device_code"])
    refused(poll, "authorization_pending")
    step("device_pending")
    ask("device", started["verification_uri_complete"])
    time.sleep(started["interval"])
    must(poll()["access_token"], "a token")
    step("device")


def logout(server):
    _, token, _, _ = code(server, WEB)
    after = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": WEB["post_logout_redirect_uri"]}
    end = ask("logout", server["end_session_endpoint"] + "?" + urlencode(after))
    must(end == WEB["post_logout_redirect_uri"], end)
    step("logout")


if __name__ == "__main__":
    SERVER = discover()
    credentials(SERVER)
    use(SERVER)
    public(SERVER)
    device(SERVER)
    logout(SERVER)
