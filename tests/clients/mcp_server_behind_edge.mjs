// An MCP server on the TypeScript SDK (npm: @modelcontextprotocol/sdk) without code for OAuth: an edge in front of it describes it (RFC 9728),
// checks tokens, and names the user in a header.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import express from 'express'

function newServer(subject) {
  const server = new McpServer({ name: 'tools', version: '1.0.0' })
  const whoami = () => ({ content: [{ type: 'text', text: subject }] })
  server.registerTool('whoami', { description: 'Says who calls' }, whoami)
  return server
}

const app = express()
app.use(express.json())
app.post('/mcp', async (request, response) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined })
  await newServer(request.get('x-tollgate-subject')).connect(transport)
  await transport.handleRequest(request, response, request.body)
})
app.all('/mcp', (_, response) => response.status(405).end())
app.listen(process.env.PORT, '127.0.0.1')
