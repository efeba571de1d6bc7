// Browser flows of tests/suite/regression_cases/browsers.rs: runs the one named by the argument. Successful steps are printed as
// one JSON object a line.
import { at, launch, ensure, settings, step, waitFor, Window } from './kit.mjs'

const { person } = settings

/** Submits the form twice, the second time before the first response arrives. */
async function twice(page, target) {
  await target.evaluate((button) => {
    const { form } = button
    form.requestSubmit(button)
    setTimeout(() => form.requestSubmit(button), 20)
  })
}

/** Waits for a page; navigations before it may be aborted. */
const comes = (page, isIt) => waitFor('a page', () => isIt(new URL(page.url())))

const signIn = (page) => page.locator('form:has([name="password"]) button')

async function fill(page) {
  await page.locator('[name="username"]').fill(person.username)
  await page.locator('[name="password"]').fill(person.password)
}

const allow = (page) => page.locator('[name="decision"][value="allow"]')

/** The code reaches the client, through the consent page or directly after sign-in. */
async function arrives(browser) {
  for (const { id, authorize, endsAt } of settings.clients) {
    const window = await Window.open(browser)
    const { page } = window
    await page.goto(authorize)
    await fill(page)
    const end = page.waitForURL((url) => url.href.startsWith(endsAt))
    await signIn(page).click()
    if (!id.endsWith('-own')) await allow(page).click()
    await end
    ensure(new URL(page.url()).searchParams.get('code'), `no code at ${page.url()}`)
    await window.close()
    step(id)
  }
}

/** Stale forms continue or are shown again: two tabs, double clicks, back button, reload, sign-out in another window. */
async function stale(browser) {
  const window = await Window.open(browser)
  const { page: first, context } = window
  const second = await context.newPage()
  const isHome = (url) => url.href.startsWith(settings.home)
  await first.goto(settings.authorize)
  await second.goto(settings.authorize)
  await fill(first)
  await fill(second)
  await signIn(first).click()
  await first.waitForURL(/\/consent/)
  await signIn(second).click()
  await second.waitForURL(/\/consent/)
  step('two tabs')
  await second.reload()
  await allow(second).waitFor()
  step('reload')

  await twice(second, allow(second))
  await comes(second, isHome)
  ensure(new URL(second.url()).searchParams.get('code'), 'a second click loses the code')
  step('second click on allow')
  await second.goBack()
  await allow(second).waitFor()
  await allow(second).click()
  await second.waitForURL(isHome)
  step('back')

  const apart = await Window.open(browser)
  await apart.page.goto(settings.authorize)
  await fill(apart.page)
  await twice(apart.page, signIn(apart.page))
  await comes(apart.page, ({ pathname }) => pathname === '/consent')
  await allow(apart.page).dblclick()
  await comes(apart.page, isHome)
  await apart.close()
  step('second click on sign in')

  const fresh = await Window.open(browser)
  await fresh.page.goto(at('/register'))
  await fresh.page.locator('[name="username"]').fill('grace')
  for (const name of ['password', 'again']) await fresh.page.locator(`[name="${name}"]`).fill(person.password)
  await twice(fresh.page, fresh.page.locator('form:has([name="again"]) button'))
  await comes(fresh.page, ({ pathname }) => pathname === '/account/sessions')
  await fresh.close()
  step('second click on make an account')

  await first.goto(at('/account/password'))
  await second.goto(at('/account/sessions'))
  await second.locator('form.who button').click()
  await second.waitForURL(/\/logout/)
  await first.locator('[name="old"]').fill(person.password)
  for (const name of ['new', 'again']) await first.locator(`[name="${name}"]`).fill('another password')
  await first.locator('form:has([name="old"]) button').click()
  await first.locator('[name="username"]').waitFor()
  step('a form after a sign-out')
  await window.close()
}

const browser = await launch()
try {
  await { arrives, stale }[process.argv[2]](browser)
} finally {
  await browser.close()
}
