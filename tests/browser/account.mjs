// Signing in and out, and account settings.
import { at, ensure, settings, waitFor } from './kit.mjs'

export async function sign_in(window, person) {
  const { page } = window
  await page.goto(at('/login'))
  await window.check('sign-in')
  await window.signIn({ ...person, password: 'not it' })
  await window.expectText('Wrong username or password')
  await window.check('sign-in refused')
  const cookies = await window.context.cookies()
  await window.signIn(person)
  await window.check('signed in')
  const [before, after] = [cookies, await window.context.cookies()].map((all) => all.find(({ name }) => /tollgate(-\w+)?$/.test(name) && !name.includes('device')))
  ensure(after.httpOnly && after.sameSite === 'Lax', 'the cookie is HttpOnly and SameSite=Lax')
  ensure(before.value !== after.value, 'the cookie changes at sign-in')
}

/** An expired authorization request gets an error page that explains how to continue. */
export async function expired_request(window) {
  const { page } = window
  const answer = await page.goto(at('/consent?request=forgotten'))
  ensure(answer.status() === 400, `an expired request gets ${answer.status()}`)
  await window.expectText('has expired')
  await window.check('has expired')
}

/** Guessing passwords is throttled; the right password works after the delay. */
export async function sign_in_throttled(window, person) {
  const { page } = window
  const wrong = { ...person, password: 'not it' }
  await page.goto(at('/login'))
  await waitFor('a limit', async () => {
    const status = await window.signIn(wrong)
    ensure(status === 403 || status === 429, `a wrong password gets ${status}`)
    return status === 429
  })
  await window.check('sign-in limited')
  await waitFor('the end of the delay', async () => {
    await page.goto(at('/login'))
    return (await window.signIn(person)) === 200
  })
}

/** Signing in by keyboard: the first field has the focus, Enter submits, and the first tab stop is the skip link. */
export async function sign_in_by_keyboard(window, person) {
  const { page } = window
  await page.goto(at('/login'))
  await page.locator('[name="username"]:focus').waitFor()
  await page.keyboard.type(person.username)
  await page.keyboard.press('Tab')
  await page.keyboard.type(person.password)
  const here = page.waitForURL(at('/account/sessions'))
  await page.keyboard.press('Enter')
  await here
  await page.keyboard.press('Tab')
  const focus = page.locator(':focus')
  ensure((await focus.textContent()) === 'Skip to content', 'the first tab stop is the skip link')
  ensure(await focus.evaluate((link) => link.getBoundingClientRect().top >= 0), 'the skip link is visible while it has the focus')
}

export async function sign_out(window, person) {
  const { page } = window
  await page.goto(at('/login'))
  await window.signIn(person)
  await page.goto(at('/logout'))
  await window.check('sign-out')
  await window.press(page.getByRole('button', { name: 'Sign out' }))
  await window.expectText('signed out')
  await window.check('signed out')
  await page.goto(at('/device'))
  ensure(page.url().includes('/login'), 'the session has ended')
}

/** A browser signs out all others. */
export async function other_browsers(window, person, another) {
  const other = await another()
  for (const one of [window, other]) {
    await one.page.goto(at('/login'))
    await one.signIn(person)
  }
  await window.page.goto(at('/account/sessions'))
  await window.press(window.page.getByRole('button', { name: 'Sign out all other browsers' }))
  await window.check('sessions, others ended')
  ensure(new URL(window.page.url()).pathname === '/account/sessions', 'still signed in here')
  await other.page.goto(at('/account/sessions'))
  ensure(other.page.url().includes('/login'), 'signed out there')
  await other.close()
}

/** A new user creates an account during an authorization request. */
export async function register(window, person) {
  const { page } = window
  const send = () => window.press(page.locator('form:has([name="again"]) button'))
  await page.goto(`${settings.web}/sign-in`)
  await window.press(page.getByRole('link', { name: 'Create an account' }))
  await window.check('register')
  const username = `${person.username}.new`
  await window.field('username').fill(person.username)
  await window.field('password').fill('a few words in a row')
  await window.field('again').fill('a few words in a row')
  await send()
  await window.check('register: the name is taken')
  await window.field('username').fill(username)
  await window.field('password').fill('a few words in a row')
  await window.field('again').fill('other words')
  await send()
  await window.check('register: passwords differ')
  await window.field('password').fill('a few words in a row')
  await window.field('again').fill('a few words in a row')
  await send()
  await window.press(window.field('decision', 'allow'))
  await window.expectText('Signed in as')
  await page.goto(at('/account/sessions'))
  ensure((await page.locator('header').innerText()).includes(username), `${username} is signed in`)
}

/** Changing the password signs out other browsers, and the old password no longer works. */
export async function change_password(window, person, another) {
  const { page } = window
  const other = await another()
  for (const one of [window, other]) {
    await one.page.goto(at('/login'))
    await one.signIn(person)
  }
  const changed = { ...person, password: `${person.password}, changed` }
  const change = async (old) => {
    await window.field('old').fill(old)
    await window.field('new').fill(changed.password)
    await window.field('again').fill(changed.password)
    return window.press(page.locator('form:has([name="old"]) button'))
  }
  await page.goto(at('/account/password'))
  await window.check('password')
  ensure((await change('not it')) === 422, 'a wrong old password is refused')
  await window.check('password refused')
  await change(person.password)
  await window.expectText('Your password is changed')
  await window.check('password changed')
  await other.page.goto(at('/account/sessions'))
  ensure(other.page.url().includes('/login'), 'the other browser is signed out')
  ensure((await other.signIn(person)) === 403, 'the old password is refused')
  ensure((await other.signIn(changed)) === 200, 'the new password is accepted')
  await other.close()
}

/** In a right-to-left language the pages are mirrored, and pass the same checks. */
export async function right_to_left(window, person) {
  const { page } = window
  await page.setExtraHTTPHeaders({ 'accept-language': 'ar' })
  await page.goto(at('/login'))
  const direction = await page.locator('main').evaluate((main) => getComputedStyle(main).direction)
  ensure(direction === 'rtl', `the sign-in page runs ${direction}`)
  await window.check('sign-in, right to left')
  await window.signIn({ ...person, password: 'not it' })
  await window.check('sign-in refused, right to left')
  await window.signIn(person)
  await window.check('sessions, right to left')
  for (const path of ['/account/password', '/device', '/logout']) {
    await page.goto(at(path))
    await window.check(`${path}, right to left`)
  }
}
