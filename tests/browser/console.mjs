// Administrators at the console: every page of it, and the acts that change something.
import { at, must } from './kit.mjs'

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
