#!/usr/bin/env python3
"""Signs a user in from a terminal with the device grant (RFC 8628), using only Python's standard library.

    python3 device-login.py CLIENT_ID [ISSUER [SCOPE]]

Shows the verification URL and the user code, waits for the user's decision, and prints the access token.
"""
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def fetch(url, form=None):
    """Returns the JSON response of a URL, also of an error response."""
    body = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        return json.load(refusal)


def say(words):
    print(words, file=sys.stderr, flush=True)


def login(client_id, issuer="http://127.0.0.1:8080", scope="openid profile"):
    provider = fetch(f"{issuer}/.well-known/openid-configuration")
    device = fetch(provider["device_authorization_endpoint"], {"client_id": client_id, "scope": scope})
    if "error" in device:
        sys.exit(device.get("error_description", device["error"]))
    say(f"Open {device['verification_uri']} and enter {device['user_code']}")
    say(f"or open {device['verification_uri_complete']}")
    pause, ends = device.get("interval", 5), time.monotonic() + device["expires_in"]
    while time.monotonic() < ends:
        time.sleep(pause)
        form = {"grant_type": DEVICE_CODE, "client_id": client_id, "device_code": device["device_code"]}
        answer = fetch(provider["token_endpoint"], form)
        match answer.get("error"):
            case None:
                return answer["access_token"]
            case "authorization_pending":
                pass
            case "slow_down":
                pause += 5
            case error:
                sys.exit(answer.get("error_description", error))
    sys.exit("The code expired before a decision was made.")


if len(sys.argv) < 2:
    sys.exit(__doc__)
try:
    print(login(*sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(130)
