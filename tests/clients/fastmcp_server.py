"""An MCP server on FastMCP (PyPI), with the token verifier and the remote authorization server of its documentation."""
import os

from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from pydantic import AnyHttpUrl

ISSUER, AUDIENCE, PORT = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "PORT"))
verifier = JWTVerifier(
    jwks_uri=f"{ISSUER}/.well-known/jwks.json", issuer=ISSUER, audience=AUDIENCE, required_scopes=["tools"]
)
auth = RemoteAuthProvider(
    token_verifier=verifier, authorization_servers=[AnyHttpUrl(ISSUER)], base_url=f"http://127.0.0.1:{PORT}"
)
mcp = FastMCP("tools", auth=auth)


@mcp.tool
def whoami() -> str:
    """Says who calls."""
    return get_access_token().claims["sub"]


if __name__ == "__main__":
    mcp.run(transport="http", host="127.0.0.1", port=int(PORT))
