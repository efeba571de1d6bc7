// oidc-client-ts (npm) in Chromium, set up as its documentation does: sign-in, renewal with a refresh token and in a hidden frame, sign-out.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { chromium } from 'playwright-core'
import { ensure, run, settings, step } from './protocol.mjs'

const { home } = settings
const library = await readFile('node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js', 'utf8')
const options = JSON.stringify({
  authority: settings.issuer,
  client_id: settings.client_id,
  redirect_uri: home,
  silent_redirect_uri: `${home}silent`,
  post_logout_redirect_uri: home,
  scope: 'openid profile email',
})
const page = (script) => `<!doctype html><title>App</title><script src="/library.js"></script><script>
  const users = new oidc.UserManager(${options})
  ${script}</script>`
const PAGES = {
  '/': page("const user = location.search.includes('code=') ? users.signinRedirectCallback() : users.getUser()"),
  '/silent': page('users.signinSilentCallback()'),
}

async function serve() {
  const tls = { cert: await readFile(settings.certificate), key: await readFile(settings.key) }
  const server = createServer(tls, (request, response) => {
    const { pathname } = new URL(request.url, home)
    if (pathname === '/library.js') return response.setHeader('content-type', 'text/javascript').end(library)
    response.setHeader('content-type', 'text/html').end(PAGES[pathname] ?? '')
  })
  return new Promise((resolve) => server.listen(new URL(home).port, '127.0.0.1', resolve))
}

async function signIn(window) {
  await window.goto(home)
  await Promise.all([window.waitForURL(`${settings.issuer}/**`), window.evaluate(() => void users.signinRedirect())])
  await window.locator('[name="username"]').fill(settings.username)
  await window.locator('[name="password"]').fill(settings.password)
  await window.locator('form:has([name="password"]) button').click()
  await window.locator('[name="decision"][value="allow"]').click()
  await window.waitForURL(`${home}**`)
  const { name, email } = await window.evaluate(async () => (await user).profile)
  ensure(name === 'Alice Example' && email === 'alice@example.com', `signed in as ${name} <${email}>`)
  step('sign-in')
}

/** Renews the tokens without the user, and returns whether the access token is another. */
const renew = (window, more) =>
  window.evaluate(async (more) => {
    const before = (await users.getUser()).access_token
    return (await users.signinSilent(more)).access_token !== before
  }, more)

await run(async () => {
  await serve()
  const asRoot = process.getuid() === 0 ? ['--no-sandbox'] : []
  const args = ['--disable-gpu', '--disable-background-networking', '--disable-component-update', ...asRoot]
  const browser = await chromium.launch({ executablePath: process.env.TOLLGATE_TEST_CHROMIUM, args })
  const window = await browser.newPage({ ignoreHTTPSErrors: true })
  window.setDefaultTimeout(60_000)
  await signIn(window)
  ensure(await renew(window, {}), 'a new token by the refresh token')
  step('renewal with a refresh token')
  ensure(await renew(window, { forceIframeAuth: true }), 'a new token by the frame')
  step('renewal in a hidden frame')
  await Promise.all([window.waitForEvent('framenavigated'), window.evaluate(() => void users.signoutRedirect())])
  await window.waitForURL(home)
  ensure((await window.evaluate(() => users.getUser())) === null, 'no user')
  const why = await window.evaluate(() => users.signinSilent({ forceIframeAuth: true }).catch(({ error }) => error))
  ensure(why === 'login_required', `signed out at the origin: ${why}`)
  step('sign-out')
  await browser.close()
})
