// A server-side web client. It signs users in at an OpenID provider (authorization code with PKCE), stores their identity in a
// session of its own, calls an API on their behalf, and signs them out here and at the provider. Tokens never reach the browser.
//
//     CLIENT_ID=… CLIENT_SECRET=… npm start
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import * as oidc from 'openid-client'

const { CLIENT_ID, CLIENT_SECRET, ISSUER = 'http://127.0.0.1:8080', PORT = '3000' } = process.env
const { API = 'http://127.0.0.1:8787/reports/1', SCOPE = 'openid profile email reports:read' } = process.env
const HOME = `http://127.0.0.1:${PORT}`
const SESSION_SECONDS = 8 * 3600
const MAX_SESSIONS = 10_000

// Allows plain HTTP to try this on one machine.
const options = new URL(ISSUER).hostname === '127.0.0.1' ? { execute: [oidc.allowInsecureRequests] } : {}
const provider = await oidc.discovery(new URL(ISSUER), CLIENT_ID, {}, oidc.ClientSecretBasic(CLIENT_SECRET), options)

/** Sessions by the random value of their cookie: `checks` during a sign-in, then `claims` and `tokens`. */
const sessions = new Map()

const routes = {
  'GET /': async ({ session }) => page(session?.claims ? await welcome(session) : welcomeStranger()),

  'GET /style.css': () => ({ status: 200, headers: { 'content-type': 'text/css' }, body: STYLE }),

  'GET /sign-in': async () => {
    const verifier = oidc.randomPKCECodeVerifier()
    const checks = {
      pkceCodeVerifier: verifier,
      expectedState: oidc.randomState(),
      expectedNonce: oidc.randomNonce(),
    }
    const url = oidc.buildAuthorizationUrl(provider, {
      redirect_uri: `${HOME}/callback`,
      scope: SCOPE,
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    })
    return redirect(url.href, begin({ checks }))
  },

  // Only the browser that started a sign-in can complete it, because the checks are in its session. A signed-in session gets
  // a new name, against session fixation.
  'GET /callback': async ({ url, session, name }) => {
    if (!session?.checks) return redirect('/')
    sessions.delete(name)
    try {
      const tokens = await oidc.authorizationCodeGrant(provider, url, session.checks)
      return redirect('/', begin({ claims: tokens.claims(), tokens }))
    } catch (error) {
      const words = error.error === 'access_denied' ? 'You did not allow it.' : 'That did not work. Please try again.'
      return page(`<h1>Not signed in</h1><p role="alert">${words}</p><p><a href="/">Back</a></p>`, 403)
    }
  },

  'GET /report': async ({ session }) => {
    if (!session?.claims) return redirect('/')
    const answer = await fetch(API, { headers: { authorization: `Bearer ${session.tokens.access_token}` } })
    const text = answer.ok ? await answer.text() : answer.headers.get('www-authenticate')
    return page(`<h1>The report</h1><p>The API answered <strong>${answer.status}</strong>.</p>
      <pre tabindex="0">${escaped(text ?? '')}</pre><p><a href="/">Back</a></p>`)
  },

  // A form, and a SameSite cookie: other sites cannot sign the user out.
  'POST /sign-out': async ({ session, name }) => {
    sessions.delete(name)
    if (!session?.claims) return redirect('/')
    const hint = { id_token_hint: session.tokens.id_token, post_logout_redirect_uri: `${HOME}/` }
    return redirect(oidc.buildEndSessionUrl(provider, hint).href, '')
  },
}

const STYLE = `
  :root { color-scheme: light dark; }
  body { background: Canvas; color: CanvasText; font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
  pre { overflow-x: auto; }
`

function welcomeStranger() {
  return '<h1>Reports</h1><p>Nobody is signed in.</p><p><a href="/sign-in">Sign in</a></p>'
}

async function welcome({ claims, tokens }) {
  // Fails after the grant was revoked; then the claims of the ID token are shown.
  const user = await oidc.fetchUserInfo(provider, tokens.access_token, claims.sub).catch(() => claims)
  return `<h1>Reports</h1><p>Signed in as <strong>${escaped(user.preferred_username ?? user.name ?? user.sub)}</strong>.</p>
    <p><a href="/report">Read the report</a></p>
    <form method="post" action="/sign-out"><button>Sign out</button></form>`
}

/** Creates a session and returns the value of its cookie. */
function begin(session) {
  const now = Date.now()
  for (const [name, { ends }] of sessions) if (ends < now || sessions.size >= MAX_SESSIONS) sessions.delete(name)
  const name = randomBytes(32).toString('base64url')
  sessions.set(name, { ...session, ends: now + SESSION_SECONDS * 1000 })
  return name
}

function redirect(location, cookie) {
  const secure = HOME.startsWith('https:') ? '; Secure' : ''
  const set = `reports_session=${cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${cookie ? SESSION_SECONDS : 0}${secure}`
  return { status: 303, headers: { location, ...(cookie !== undefined && { 'set-cookie': set }) } }
}

function page(content, status = 200) {
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    'cache-control': 'no-store',
  }
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>Reports</title><link rel="stylesheet" href="/style.css">`
  return { status, headers, body: `<!doctype html><html lang="en"><head>${head}</head><body><main>${content}</main></body></html>` }
}

const escaped = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`)

createServer(async (request, response) => {
  const url = new URL(request.url, HOME)
  const name = /(?:^|; )reports_session=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1]
  const route = routes[`${request.method} ${url.pathname}`] ?? (() => page('<h1>Not found</h1>', 404))
  const failed = (error) => {
    console.error(error)
    return page('<h1>Something went wrong</h1><p>Please try again.</p>', 500)
  }
  const live = sessions.get(name)?.ends > Date.now() ? sessions.get(name) : undefined
  const { status, headers, body } = await Promise.resolve({ url, name, session: live }).then(route).catch(failed)
  response.writeHead(status, headers).end(body)
}).listen(Number(PORT), '127.0.0.1', () => console.log(`web client on ${HOME}`))
