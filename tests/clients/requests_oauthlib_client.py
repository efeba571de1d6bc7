"""requests-oauthlib (PyPI) on oauthlib, unmodified: the grants that they know."""
import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the test's origin is on loopback, without TLS

import time

import requests
from oauthlib.oauth2 import BackendApplicationClient, DeviceClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from protocol import ask, must, refused, settings, step

WEB, POST, SPA, TV = (settings[name] for name in ["web", "post", "spa", "tv"])
BASIC = HTTPBasicAuth(WEB["id"], WEB["secret"])
SCOPE = ["openid", "email", "read"]


def credentials(server):
    url = server["token_endpoint"]
    session = OAuth2Session(client=BackendApplicationClient(WEB["id"], scope=["read"]))
    must(session.fetch_token(url, auth=BASIC)["scope"] == ["read"], "the scope")
    step("client_credentials_basic")
    session = OAuth2Session(client=BackendApplicationClient(POST["id"]))
    session.fetch_token(url, client_id=POST["id"], client_secret=POST["secret"], include_client_id=True)
    step("client_credentials_post")


def code(server, who, **authentication):
    session = OAuth2Session(who["id"], redirect_uri=who["redirect_uri"], scope=SCOPE, pkce="S256")
    url, _ = session.authorization_url(server["authorization_endpoint"])
    callback = ask("authorize", url)
    session.fetch_token(server["token_endpoint"], authorization_response=callback, **authentication)
    return session, callback


def use(server):
    session, callback = code(server, WEB, auth=BASIC)
    step("code")
    again = lambda: session.fetch_token(server["token_endpoint"], authorization_response=callback, auth=BASIC)
    refused(again, "invalid_grant")
    step("code_replayed")
    session, _ = code(server, WEB, auth=BASIC)
    must(session.get(server["userinfo_endpoint"]).json()["email"] == "alice@example.com", "the address")
    step("userinfo")
    first = session.token["refresh_token"]
    token = session.refresh_token(server["token_endpoint"], auth=BASIC)
    must(token["refresh_token"] != first, "a rotated token")
    step("refresh")
    client = session._client
    url, headers, body = client.prepare_token_revocation_request(
        server["revocation_endpoint"], token["refresh_token"], token_type_hint="refresh_token"
    )
    requests.post(url, headers=headers, data=body, auth=BASIC).raise_for_status()
    refused(lambda: session.refresh_token(server["token_endpoint"], auth=BASIC), "invalid_grant")
    step("revocation")


def public(server):
    session, _ = code(server, SPA, include_client_id=True)
    session.refresh_token(server["token_endpoint"], client_id=SPA["id"])
    step("public")


def device(server):
    client = DeviceClient(TV["id"])
    # oauthlib puts the parameters of the device request into the URL; RFC 8628 §3.1 requires them in the body.
    url, query = client.prepare_request_uri(server["device_authorization_endpoint"], scope=["openid", "read"]).split("?")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    started = requests.post(url, data=query, headers=form).json()
    session = OAuth2Session(client=client)
    poll = lambda: session.fetch_token(server["token_endpoint"], device_code=started["device_code"], include_client_id=True)
    refused(poll, "authorization_pending")
    step("device_pending")
    ask("device", started["verification_uri_complete"])
    time.sleep(started["interval"])
    must(poll()["access_token"], "a token")
    step("device")


if __name__ == "__main__":
    SERVER = requests.get(settings["issuer"] + "/.well-known/oauth-authorization-server").json()
    credentials(SERVER)
    use(SERVER)
    public(SERVER)
    device(SERVER)
