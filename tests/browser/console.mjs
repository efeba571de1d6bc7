// Administrators at the console: every page of it, and the acts that change something.
import { at, must, throughEdge, until } from './kit.mjs'

/** What the console lists, each thing with pages of its own. */
const LISTS = ['clients', 'users', 'keys', 'revocations', 'routes', 'edges']

/** The kind of page that an address leads to: `/admin/clients/x/edit` is that of `/admin/clients/y/edit`. */
function kind(url) {
  const [admin, list, name, ...rest] = url.pathname.split('/').slice(1)
  return ['', admin, list, name && LISTS.includes(list) ? '*' : name, ...rest].filter((part) => part !== undefined).join('/')
}

/** One page of every kind that links lead to. */
export async function console_pages(window, person) {
  const { page } = window
  await page.goto(at('/admin'))
  await window.signIn(person)
  must(page.url() === at('/admin'), `back at the console, not at ${page.url()}`)
  const waiting = [new URL(page.url())]
  const seen = new Set()
  for (const url of waiting) {
    if (seen.has(kind(url))) continue
    seen.add(kind(url))
    const answer = await page.goto(url.href)
    must(answer.status() === 200, `${url} gets ${answer.status()}`)
    await window.look(`console ${kind(url)}`)
    const links = await page.locator('a[href]:not([download])').evaluateAll((all) => all.map((link) => link.href))
    const inside = (link) => link.origin === url.origin && link.pathname.startsWith('/admin') && !link.pathname.includes('export')
    waiting.push(...links.map((link) => new URL(link)).filter(inside))
  }
  for (const list of ['', ...LISTS, 'resources', 'audit']) {
    must(seen.has(list ? `/admin/${list}` : '/admin'), `the console leads to ${list || 'its overview'}: ${[...seen].join(' ')}`)
  }
}

/** The console is for administrators. */
export async function refused_at_the_console(window, person) {
  await window.page.goto(at('/admin'))
  const status = await window.signIn(person)
  must(status === 403, `somebody else gets ${status}`)
  await window.look('console refused')
}

/** What is shown once, such as a secret. */
const shown = (window) => window.page.locator('code.secret').innerText()

/** A client from its registration to its end: each act at the console holds at the token endpoint, or at the edge. */
export async function console_client(window, person) {
  const { page } = window
  const link = (name) => page.getByRole('link', { name, exact: true })
  const button = (name) => page.getByRole('button', { name, exact: true })
  await page.goto(at('/admin/new/client'))
  await window.signIn(person)
  await window.field('name').fill(`Robot of ${person.username}`)
  await window.field('owner').fill('Harbour Surveying')
  await window.field('scope').fill('reports:read')
  await window.press(button('Register the client'))
  const id = new URL(page.url()).pathname.split('/').at(-1)
  const secret = await shown(window)
  await window.look('console: a client and its secret')
  const token = await tokenFor(id, secret)
  must((await throughEdge(token)) === 200, 'the edge lets its token pass')

  await window.press(link('New secret'))
  await window.press(button('Make a new secret'))
  const newer = await shown(window)
  must(newer !== secret && (await tokenFor(id, newer)) && (await tokenFor(id, secret)), 'both secrets are good while it changes over')

  await window.press(link('Revoke all its tokens so far'))
  await window.field('reason').fill('it talks too much')
  await window.press(button('Continue'))
  await window.look('console: revoke?')
  await window.press(page.locator('form button.danger'))
  await until('the edge refuses', async () => (await throughEdge(token)) === 401)
  await window.press(page.getByRole('link', { name: /^Lift client/ }).first())
  await window.look('console: lift?')
  await window.press(page.locator('main form button').first())
  await until('the edge lets it pass again', async () => (await throughEdge(token)) === 200)

  await page.goto(at(`/admin/clients/${id}`))
  await window.press(link('Disable'))
  await window.press(page.locator('form button.danger'))
  await window.says('disabled')
  must((await tokenFor(id, newer)) === undefined, 'a disabled client gets nothing')

  await page.goto(at(`/admin/audit?kind=client&target=${id}`))
  await window.says(person.username)
  const csv = await page.request.get(await link('Export CSV').getAttribute('href').then((href) => new URL(href, page.url()).href))
  must(csv.ok() && (await csv.text()).includes(id), 'the export has it')
}

/** A user from their registration to their end. */
export async function console_user(window, person, another) {
  const { page } = window
  const username = `${person.username}.made`
  await page.goto(at('/admin/new/user'))
  await window.signIn(person)
  await window.field('name').fill(username)
  await window.press(page.getByRole('button', { name: 'Register the user' }))
  const made = { username, password: await shown(window) }
  const other = await another()
  await other.page.goto(at('/login'))
  must((await other.signIn(made)) === 200, 'they sign in')
  await window.press(page.getByRole('link', { name: 'Disable', exact: true }))
  await window.press(page.locator('form button.danger'))
  await other.page.goto(at('/account/sessions'))
  must(other.page.url().includes('/login'), 'and are signed out when they are disabled')
  must((await other.signIn(made)) === 403, 'and do not sign in again')
  await other.close()
}

/** An access token for a client in its own name, if it gets one. */
async function tokenFor(id, secret) {
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'reports:read' })
  const authorization = `Basic ${btoa(`${id}:${secret}`)}`
  const answer = await fetch(at('/oauth/token'), { method: 'POST', body, headers: { authorization } })
  return (await answer.json()).access_token
}
