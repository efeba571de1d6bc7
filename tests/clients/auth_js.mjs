// Auth.js (npm: @auth/express), set up as its documentation does for a provider of one's own. The button that starts the sign-in is
// left out: `/` does what Auth.js's `signIn()` does on a server.
import { Auth, raw, skipCSRFCheck } from '@auth/core'
import { ExpressAuth, getSession } from '@auth/express'
import express from 'express'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, PORT } = process.env
const home = `http://127.0.0.1:${PORT}`
const config = {
  basePath: '/auth',
  secret: 'of the test, thirty-two characters',
  trustHost: true,
  providers: [
    { id: 'tollgate', name: 'Tollgate', type: 'oidc', issuer: ISSUER, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET },
  ],
}

const app = express()
app.use('/auth', ExpressAuth(config))
app.get('/', async (request, response) => {
  const session = await getSession(request, config)
  if (session) return response.type('text').send(`Auth.js × login, ID token × ${session.user.name} <${session.user.email}>`)
  const form = { method: 'POST', body: new URLSearchParams({ callbackUrl: `${home}/` }) }
  const signIn = await Auth(new Request(`${home}/auth/signin/tollgate`, form), { ...config, raw, skipCSRFCheck })
  for (const { name, value, options } of signIn.cookies) response.cookie(name, value, { path: options.path, httpOnly: true })
  response.redirect(signIn.redirect)
})
app.listen(PORT, '127.0.0.1')
