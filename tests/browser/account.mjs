// Signing in and out, and what a person does with their account.
import { at, must, settings, until } from './kit.mjs'

export async function sign_in(window, person) {
  const { page } = window
  await page.goto(at('/login'))
  await window.look('sign-in')
  await window.signIn({ ...person, password: 'not it' })
  await window.says('wrong')
  await window.look('sign-in refused')
  const cookies = await window.context.cookies()
  await window.signIn(person)
  await window.look('signed in')
  const [before, after] = [cookies, await window.context.cookies()].map((all) => all.find(({ name }) => /tollgate(-\w+)?$/.test(name) && !name.includes('device')))
  must(after.httpOnly && after.sameSite === 'Lax', 'the cookie is not for scripts, nor for other sites')
  must(before.value !== after.value, 'the cookie is another one after the sign-in')
}

/** Who comes back to what is over is told so, and how to go on. */
export async function lost(window) {
  const { page } = window
  const answer = await page.goto(at('/consent?request=forgotten'))
  must(answer.status() === 400, `what is over gets ${answer.status()}`)
  await window.says('over')
  await window.look('over')
}

/** Who guesses must wait, and who knows the password gets in after the wait. */
export async function limited(window, person) {
  const { page } = window
  const wrong = { ...person, password: 'not it' }
  await page.goto(at('/login'))
  await until('a limit', async () => {
    const status = await window.signIn(wrong)
    must(status === 403 || status === 429, `a wrong password gets ${status}`)
    return status === 429
  })
  await window.look('sign-in limited')
  await until('an end of the wait', async () => {
    await page.goto(at('/login'))
    return (await window.signIn(person)) === 200
  })
}

/** Nothing needs a mouse: the first field has the focus, Enter sends, and the first stop on a page skips its head. */
export async function by_keyboard(window, person) {
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
  must((await focus.textContent()) === 'Skip to the content', 'the first stop is the way past the head')
  must(await focus.evaluate((link) => link.getBoundingClientRect().top >= 0), 'it is seen while it has the focus')
}

export async function sign_out(window, person) {
  const { page } = window
  await page.goto(at('/login'))
  await window.signIn(person)
  await page.goto(at('/logout'))
  await window.look('sign-out')
  await window.press(page.getByRole('button', { name: 'Sign out' }))
  await window.says('signed out')
  await window.look('signed out')
  await page.goto(at('/device'))
  must(page.url().includes('/login'), 'nobody is signed in any more')
}

/** One browser signs the others out. */
export async function other_browsers(window, person, another) {
  const other = await another()
  for (const one of [window, other]) {
    await one.page.goto(at('/login'))
    await one.signIn(person)
  }
  await window.page.goto(at('/account/sessions'))
  await window.press(window.page.getByRole('button', { name: 'Sign out all others' }))
  await window.look('sessions, others ended')
  must(new URL(window.page.url()).pathname === '/account/sessions', 'still signed in here')
  await other.page.goto(at('/account/sessions'))
  must(other.page.url().includes('/login'), 'signed out there')
  await other.close()
}

/** Somebody new makes an account in the middle of what they came for. */
export async function register(window, person) {
  const { page } = window
  const send = () => window.press(page.locator('form:has([name="again"]) button'))
  await page.goto(`${settings.web}/sign-in`)
  await window.press(page.getByRole('link', { name: 'Make an account' }))
  await window.look('register')
  const username = `${person.username}.new`
  await window.field('username').fill(person.username)
  await window.field('password').fill('a few words in a row')
  await window.field('again').fill('a few words in a row')
  await send()
  await window.look('register: the name is taken')
  await window.field('username').fill(username)
  await window.field('password').fill('a few words in a row')
  await window.field('again').fill('other words')
  await send()
  await window.look('register: not the same twice')
  await window.field('password').fill('a few words in a row')
  await window.field('again').fill('a few words in a row')
  await send()
  await window.press(window.field('decision', 'allow'))
  await window.says('Signed in as')
  await page.goto(at('/account/sessions'))
  must((await page.locator('header').innerText()).includes(username), `it is ${username} who is signed in`)
}

/** Another password: other browsers are signed out, and the old one opens nothing. */
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
  await window.look('password')
  must((await change('not it')) === 422, 'a wrong old password is refused')
  await window.look('password refused')
  await change(person.password)
  await window.says('Your password is changed')
  await window.look('password changed')
  await other.page.goto(at('/account/sessions'))
  must(other.page.url().includes('/login'), 'the other browser is signed out')
  must((await other.signIn(person)) === 403, 'the old password opens nothing')
  must((await other.signIn(changed)) === 200, 'the new one does')
  await other.close()
}
