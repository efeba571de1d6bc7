"""A Flask site with Flask-Dance (PyPI), set up as its documentation does for a provider of one's own. USE_PKCE sets its `use_pkce`."""
import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the test's origin is on loopback, without TLS

import requests
from flask import Flask, redirect, url_for
from flask_dance.consumer import OAuth2ConsumerBlueprint

ISSUER, PORT = os.environ["ISSUER"], os.environ["PORT"]
metadata = requests.get(f"{ISSUER}/.well-known/openid-configuration").json()
app = Flask(__name__)
app.secret_key = "of the test"
blueprint = OAuth2ConsumerBlueprint(
    "tollgate",
    __name__,
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ["CLIENT_SECRET"],
    scope=["openid", "profile", "email"],
    base_url=ISSUER,
    token_url=metadata["token_endpoint"],
    authorization_url=metadata["authorization_endpoint"],
    use_pkce="USE_PKCE" in os.environ,
)
app.register_blueprint(blueprint, url_prefix="/login")


@app.route("/")
def home():
    if not blueprint.session.authorized:
        return redirect(url_for("tollgate.login"))
    claims = blueprint.session.get(metadata["userinfo_endpoint"]).json()
    line = f"Flask-Dance × login, userinfo × {claims['name']} <{claims['email']}>"
    return line, {"Content-Type": "text/plain; charset=utf-8"}


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(PORT))
