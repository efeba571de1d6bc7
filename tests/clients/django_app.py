"""A Django site with mozilla-django-oidc (PyPI), set up as its documentation does: a nonce, no PKCE, the secret in the body."""
import os
import tempfile

import django
import requests
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse
from django.urls import include, path

ISSUER = os.environ["ISSUER"]


def configure():
    metadata = requests.get(f"{ISSUER}/.well-known/openid-configuration").json()
    settings.configure(
        SECRET_KEY="of the test",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "mozilla_django_oidc",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(tempfile.mkdtemp(), "site.db")}
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        AUTHENTICATION_BACKENDS=["mozilla_django_oidc.auth.OIDCAuthenticationBackend"],
        LOGIN_URL="oidc_authentication_init",
        LOGIN_REDIRECT_URL="/",
        LOGIN_REDIRECT_URL_FAILURE="/failed",
        OIDC_RP_CLIENT_ID=os.environ["CLIENT_ID"],
        OIDC_RP_CLIENT_SECRET=os.environ["CLIENT_SECRET"],
        OIDC_RP_SIGN_ALGO="RS256",
        OIDC_OP_AUTHORIZATION_ENDPOINT=metadata["authorization_endpoint"],
        OIDC_OP_TOKEN_ENDPOINT=metadata["token_endpoint"],
        OIDC_OP_USER_ENDPOINT=metadata["userinfo_endpoint"],
        OIDC_OP_JWKS_ENDPOINT=metadata["jwks_uri"],
    )
    django.setup()
    call_command("migrate", verbosity=0)


def home(request):
    from django.contrib.auth.views import redirect_to_login

    if not request.user.is_authenticated:
        return redirect_to_login("/")
    line = f"mozilla-django-oidc × login, ID token, userinfo × {request.user.email}"
    return HttpResponse(line, content_type="text/plain; charset=utf-8")


if __name__ == "__main__":
    configure()
    urlpatterns = [path("oidc/", include("mozilla_django_oidc.urls")), path("", home)]
    call_command("runserver", f"127.0.0.1:{os.environ['PORT']}", use_reloader=False)
