// The client of the MCP TypeScript SDK (npm: @modelcontextprotocol/sdk) with the SDK's own example of an OAuth provider: one registration
// at the origin, and a grant for each MCP server.
import { auth, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { InMemoryOAuthClientProvider } from '@modelcontextprotocol/sdk/examples/client/simpleOAuthClientProvider.js'
import { ask, ensure, run, settings, step } from './protocol.mjs'

const REDIRECT_URI = 'http://localhost:8090/callback'
const METADATA = {
  client_name: 'Simple OAuth MCP Client',
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_post',
}
let registration

/** Signs in for one MCP server, calls its tool, and returns the access token. */
async function use({ name, url }) {
  let authorization
  const provider = new InMemoryOAuthClientProvider(REDIRECT_URI, METADATA, (to) => (authorization = to))
  if (registration) provider.saveClientInformation(registration)
  const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider })
  const first = transport()
  const refused = await new Client({ name: 'test', version: '1.0.0' }).connect(first).catch((error) => error)
  ensure(refused instanceof UnauthorizedError, `a sign-in first: ${refused}`)
  ensure(authorization.searchParams.get('resource') === url, `a resource indicator: ${authorization}`)
  registration ??= provider.clientInformation()
  const callback = await ask('authorize', authorization.href)
  ensure(callback.searchParams.has('code'), `a code: ${callback}`)
  await first.finishAuth(callback.searchParams.get('code'))
  const client = new Client({ name: 'test', version: '1.0.0' })
  await client.connect(transport())
  const { content } = await client.callTool({ name: 'whoami', arguments: {} })
  ensure(content[0].text.length > 0, 'the subject')
  step(`${name}: sign-in and tool call`)
  const before = provider.tokens().access_token
  ensure((await auth(provider, { serverUrl: url })) === 'AUTHORIZED', 'a refresh')
  ensure(provider.tokens().access_token !== before, 'another token')
  ensure((await client.callTool({ name: 'whoami', arguments: {} })).content[0].text === content[0].text, 'the same subject')
  step(`${name}: refresh`)
  await client.close()
  return provider.tokens().access_token
}

/** Throws unless the server refuses the token. */
async function refuses({ name, url }, token) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' })
  const { status } = await fetch(url, { method: 'POST', headers, body })
  ensure(status === 401, `${name} answers ${status} to another server's token`)
}

await run(async () => {
  const tokens = []
  for (const server of settings.servers) tokens.push(await use(server))
  for (const [index, server] of settings.servers.entries()) {
    await refuses(server, tokens[(index + 1) % tokens.length])
  }
  step("each server refuses another's token")
})
