// Signing in and out, and what a person does with their account.
import { at, must, until } from './kit.mjs'

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
