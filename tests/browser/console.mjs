// The administrators' console: every page, and every operation.
import { at, ensure, throughEdge, waitFor } from './kit.mjs'

/** Lists of the console whose entries have their own pages. */
const LISTS = ['clients', 'users', 'keys', 'revocations', 'routes', 'edges']

/** The kind of page at a URL: `/admin/clients/x/edit` and `/admin/clients/y/edit` are one kind. */
function kind(url) {
  const [admin, list, name, ...rest] = url.pathname.split('/').slice(1)
  return ['', admin, list, name && LISTS.includes(list) ? '*' : name, ...rest].filter((part) => part !== undefined).join('/')
}

/** Checks one page of every kind that the console links to. */
export async function console_pages(window, person) {
  const { page } = window
  await page.goto(at('/admin'))
  await window.signIn(person)
  ensure(page.url() === at('/admin'), `back at the console, not at ${page.url()}`)
  const waiting = [new URL(page.url())]
  const seen = new Set()
  for (const url of waiting) {
    if (seen.has(kind(url))) continue
    seen.add(kind(url))
    const answer = await page.goto(url.href)
    ensure(answer.status() === 200, `${url} gets ${answer.status()}`)
    await window.check(`console ${kind(url)}`)
    const links = await page.locator('a[href]:not([download])').evaluateAll((all) => all.map((link) => link.href))
    const inside = (link) => link.origin === url.origin && link.pathname.startsWith('/admin') && !link.pathname.includes('export')
    waiting.push(...links.map((link) => new URL(link)).filter(inside))
  }
  for (const list of ['', ...LISTS, 'resources', 'audit']) {
    ensure(seen.has(list ? `/admin/${list}` : '/admin'), `the console leads to ${list || 'its overview'}: ${[...seen].join(' ')}`)
  }
}

/** Other users are refused. */
export async function refused_at_the_console(window, person) {
  await window.page.goto(at('/admin'))
  const status = await window.signIn(person)
  ensure(status === 403, `another user gets ${status}`)
  await window.check('console refused')
}

/** A secret that is shown once. */
const shown = (window) => window.page.locator('code.secret').innerText()

/** A client from registration to disabling: each operation takes effect at the token endpoint or at the edge. */
export async function console_client(window, person) {
  const { page } = window
  const link = (name) => page.getByRole('link', { name, exact: true })
  const button = (name) => page.getByRole('button', { name, exact: true })
  await page.goto(at('/admin/new/client'))
  await window.signIn(person)
  await window.field('name').fill(`Robot of ${person.username}`)
  await window.field('owner').fill('Harbour Surveying')
  await window.field('scope').fill('reports:read')
  await window.press(button('Create client'))
  const id = new URL(page.url()).pathname.split('/').at(-1)
  const secret = await shown(window)
  await window.check('console: a client and its secret')
  const token = await tokenFor(id, secret)
  ensure((await throughEdge(token)) === 200, 'the edge accepts its token')

  await window.press(link('New secret'))
  await window.press(button('Create secret'))
  const newer = await shown(window)
  ensure(newer !== secret && (await tokenFor(id, newer)) && (await tokenFor(id, secret)), 'both secrets work during the rotation')

  await window.press(link('Revoke all tokens issued so far'))
  await window.field('reason').fill('it talks too much')
  await window.press(button('Continue'))
  await window.check('console: revoke?')
  await window.press(page.locator('form button.danger'))
  await waitFor('the edge refuses', async () => (await throughEdge(token)) === 401)
  await window.press(page.getByRole('link', { name: /^Lift .?client/ }).first())
  await window.check('console: lift?')
  await window.press(page.locator('main form button').first())
  await waitFor('the edge accepts it again', async () => (await throughEdge(token)) === 200)

  await page.goto(at(`/admin/clients/${id}`))
  await window.press(link('Disable'))
  await window.press(page.locator('form button.danger'))
  await window.expectText('disabled')
  ensure((await tokenFor(id, newer)) === undefined, 'a disabled client gets no token')

  await page.goto(at(`/admin/audit?kind=client&target=${id}`))
  await window.expectText(person.username)
  const csv = await page.request.get(await link('Export CSV').getAttribute('href').then((href) => new URL(href, page.url()).href))
  ensure(csv.ok() && (await csv.text()).includes(id), 'the export contains the client')
}

/** A user from registration to disabling. */
export async function console_user(window, person, another) {
  const { page } = window
  const username = `${person.username}.made`
  await page.goto(at('/admin/new/user'))
  await window.signIn(person)
  await window.field('name').fill(username)
  await window.press(page.getByRole('button', { name: 'Create user' }))
  const made = { username, password: await shown(window) }
  const other = await another()
  await other.page.goto(at('/login'))
  ensure((await other.signIn(made)) === 200, 'the new user signs in')
  await window.press(page.getByRole('link', { name: 'Disable', exact: true }))
  await window.press(page.locator('form button.danger'))
  await other.page.goto(at('/account/sessions'))
  ensure(other.page.url().includes('/login'), 'disabling ends the session')
  ensure((await other.signIn(made)) === 403, 'a disabled user cannot sign in')
  await other.close()
}

/** An access token by the client credentials grant, if the client gets one. */
async function tokenFor(id, secret) {
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'reports:read' })
  const authorization = `Basic ${btoa(`${id}:${secret}`)}`
  const answer = await fetch(at('/oauth/token'), { method: 'POST', body, headers: { authorization } })
  return (await answer.json()).access_token
}
