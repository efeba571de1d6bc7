// Screenshots: users and clients use a running origin, then the README's pages are captured in both themes, and every page in
// every language.
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { indexed } from './palette.mjs'
import { at, launch, ensure, settings } from './kit.mjs'

const FOLDER = process.env.TOLLGATE_TEST_PICTURES
const SMALL = { width: 480, height: 690 }
const WIDE = { width: 1120, height: 760 }
const SCOPE = 'openid profile email reports:read reports:write'
const REDIRECT = { 'field-notes': 'https://notes.example/callback', 'tide-tables': 'https://tides.example/callback' }
/** Minutes of traffic before the console is captured: its charts have one bar a minute. */
const MINUTES = 6
/** The languages of the pages, with the browser's locale. */
const LANGUAGES = { en: 'en-GB', de: 'de-DE', ar: 'ar-EG' }
/** User agents. */
const BROWSERS = {
  laptop: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  phone: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
}

const browser = await launch()
const { people } = settings
/** A page without a content security policy. */
const studio = await browser.newPage()

async function open(userAgent, viewport = WIDE) {
  const context = await browser.newContext({ viewport, userAgent })
  return context.newPage()
}

async function photograph(page, name, options = {}) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    // Disables the colour transition between the themes.
    const picture = await page.screenshot({ animations: 'disabled', caret: 'hide', ...options })
    await writeFile(`${FOLDER}/${name}-${colorScheme}.png`, await indexed(studio, picture))
  }
}

async function signIn(page, { username, password }) {
  await page.fill('[name=username]', username)
  await page.fill('[name=password]', password)
  await Promise.all([page.waitForEvent('load'), page.click('form:has([name=password]) button')])
}

/** An authorization request of a client, and its PKCE verifier. */
function request(client, scope = SCOPE) {
  const verifier = randomBytes(32).toString('base64url')
  const url = new URL(at('/oauth/authorize'))
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client,
    redirect_uri: REDIRECT[client],
    scope,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  return { url: url.href, verifier }
}

async function post(path, client, form) {
  const secret = settings.clients[client]
  const own = { 'user-agent': `${client}/2.1` }
  const headers = secret ? { ...own, authorization: `Basic ${btoa(`${client}:${secret}`)}` } : own
  const body = new URLSearchParams(secret ? form : { client_id: client, ...form })
  return fetch(at(path), { method: 'POST', headers, body })
}

/** Allows the request on the consent page, and redeems the code. */
async function allow(page, client, verifier) {
  const redirect_uri = REDIRECT[client]
  // The client's site does not exist: the browser ends at its own error page.
  const lost = page.waitForEvent('framenavigated', { predicate: (frame) => frame.url().startsWith('chrome-error:') })
  const sent = page.waitForRequest((request) => request.url().startsWith(redirect_uri))
  const [back] = await Promise.all([sent, lost, page.click('[value=allow]')])
  const code = new URL(back.url()).searchParams.get('code')
  const answer = await post('/oauth/token', client, { grant_type: 'authorization_code', code, redirect_uri, code_verifier: verifier })
  ensure(answer.ok, `no token for ${client}: ${answer.status}`)
  return answer.json()
}

/** Response to a device authorization request. */
async function device() {
  return (await post('/oauth/device/code', 'quay-display', { scope: 'openid profile reports:read' })).json()
}

/** Requests of services for a few minutes; most of them succeed. */
async function traffic() {
  const call = (token, edge) => fetch(`${edge}/reports/7`, { headers: { authorization: `Bearer ${token}` } })
  const ends = Date.now() + MINUTES * 60_000
  for (let turn = 0; Date.now() < ends; turn += 1) {
    const client = ['billing', 'archive', 'archive'][turn % 3]
    const { access_token: token } = await (await post('/oauth/token', client, { grant_type: 'client_credentials' })).json()
    for (const edge of settings.edges) await call(token, edge)
    if (turn % 31 === 0) await post('/oauth/revoke', client, { token })
    if (turn % 17 === 0) await post('/oauth/token', client, { grant_type: 'client_credentials', scope: 'reports:delete' })
    if (turn % 29 === 0) await post('/oauth/token', client, { grant_type: 'refresh_token', refresh_token: 'forgotten' })
    const busy = 1.5 + Math.sin(Date.now() / 40_000)
    await new Promise((resolve) => setTimeout(resolve, 250 / busy))
  }
}

async function mara() {
  const page = await open(BROWSERS.laptop, SMALL)
  const { url, verifier } = request('field-notes')
  await page.goto(url)
  await page.fill('[name=username]', 'mara')
  await photograph(page, 'sign-in')
  await signIn(page, people.mara)
  await photograph(page, 'consent')
  await allow(page, 'field-notes', verifier)
  const display = await device()
  await page.goto(display.verification_uri_complete)
  await photograph(page, 'device', { fullPage: true })
  await Promise.all([page.waitForEvent('load'), page.click('[value=allow]')])

  const phone = await open(BROWSERS.phone, SMALL)
  const tides = request('tide-tables', 'openid reports:read')
  await phone.goto(tides.url)
  await signIn(phone, people.mara)
  await allow(phone, 'tide-tables', tides.verifier)
  await page.setViewportSize(WIDE)
  await page.goto(at('/account/sessions'))
  await photograph(page, 'sessions')
  return page
}

async function others() {
  for (const name of ['jonas', 'aiko', 'tomas', 'priya']) {
    const page = await open(BROWSERS.laptop)
    const { url, verifier } = request('field-notes')
    await page.goto(url)
    if (name === 'tomas') await signIn(page, { ...people.tomas, password: 'not it' })
    await signIn(page, people[name])
    await allow(page, 'field-notes', verifier)
    await page.context().close()
  }
}

const [page] = await Promise.all([mara(), traffic()])
await others()
for (const name of ['overview', 'clients', 'audit']) {
  await page.goto(at(name === 'overview' ? '/admin' : `/admin/${name}`))
  await photograph(page, `admin-${name}`, { fullPage: name === 'overview' })
}
await allPages(await page.context().storageState())
await browser.close()

/** Pictures of every page in every language. `session`: an administrator's cookies. */
async function allPages(session) {
  for (const [language, locale] of Object.entries(LANGUAGES)) {
    await mkdir(`${FOLDER}/pages/${language}`, { recursive: true })
    const visitor = await browser.newContext({ viewport: SMALL, locale })
    const admin = await browser.newContext({ viewport: WIDE, locale, storageState: session })
    const pictures = async (context, viewport, pages) => {
      const page = await context.newPage()
      await page.setViewportSize(viewport)
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(path.startsWith('http') ? path : at(path))
        const tag = await page.locator('html').getAttribute('lang')
        ensure(tag === language, `${path} is in ${tag}, not in ${language}`)
        const picture = await page.screenshot({ animations: 'disabled', caret: 'hide', fullPage: true })
        await writeFile(`${FOLDER}/pages/${language}/${name}.png`, await indexed(studio, picture))
      }
      await page.close()
    }
    await pictures(visitor, SMALL, {
      'sign-in': '/login',
      register: '/register',
      error: '/consent?request=forgotten',
    })
    await pictures(admin, SMALL, {
      consent: `${request('field-notes').url}&prompt=consent`,
      'device-code': '/device',
      'device-confirm': (await device()).verification_uri_complete,
      logout: '/logout',
    })
    await pictures(admin, WIDE, {
      sessions: '/account/sessions',
      password: '/account/password',
      'console-overview': '/admin',
      'console-clients': '/admin/clients',
      'console-client': '/admin/clients/field-notes',
      'console-client-form': '/admin/new/client',
      'console-users': '/admin/users',
      'console-user': `/admin/users/${people.mara.id}`,
      'console-user-form': '/admin/new/user',
      'console-keys': '/admin/keys',
      'console-rotate': '/admin/new/key',
      'console-revocations': '/admin/revocations',
      'console-revoke': '/admin/new/revocation',
      'console-resource-servers': '/admin/resources',
      'console-routes': '/admin/routes',
      'console-route-form': '/admin/new/route',
      'console-edges': '/admin/edges',
      'console-audit-log': '/admin/audit',
      'console-confirm': '/admin/clients/field-notes/disable',
    })
    await visitor.close()
    await admin.close()
  }
}
