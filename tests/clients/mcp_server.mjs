// An MCP server on the TypeScript SDK (npm: @modelcontextprotocol/sdk) as a resource server: it describes itself (RFC 9728) and verifies
// access tokens, as the SDK's example of a separate authorization server does.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js'
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js'
import express from 'express'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const { ISSUER, AUDIENCE, PORT } = process.env
const resourceServerUrl = new URL(AUDIENCE)
const oauthMetadata = await (await fetch(`${ISSUER}/.well-known/oauth-authorization-server`)).json()
const keys = createRemoteJWKSet(new URL(oauthMetadata.jwks_uri))

async function verifyAccessToken(token) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer: ISSUER, audience: AUDIENCE })
    const { client_id: clientId, scope, exp: expiresAt, sub } = payload
    return { token, clientId, scopes: scope.split(' '), expiresAt, extra: { sub } }
  } catch (error) {
    throw new InvalidTokenError(error.message)
  }
}

function newServer() {
  const server = new McpServer({ name: 'tools', version: '1.0.0' })
  const whoami = ({ authInfo }) => ({ content: [{ type: 'text', text: authInfo.extra.sub }] })
  server.registerTool('whoami', { description: 'Says who calls' }, whoami)
  return server
}

const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(resourceServerUrl)
const bearer = requireBearerAuth({ verifier: { verifyAccessToken }, requiredScopes: ['tools'], resourceMetadataUrl })
const app = express()
app.use(express.json())
app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl, scopesSupported: ['tools'] }))
app.post('/mcp', bearer, async (request, response) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined })
  await newServer().connect(transport)
  await transport.handleRequest(request, response, request.body)
})
app.all('/mcp', bearer, (_, response) => response.status(405).end())
app.listen(PORT, '127.0.0.1')
