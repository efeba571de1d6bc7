// Signing in and out, and what a person does with their account.
import { at, must } from './kit.mjs'

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
  const [before, after] = [cookies, await window.context.cookies()].map((all) => all.find(({ name }) => name.includes('tollgate')))
  must(after.httpOnly && after.sameSite === 'Lax', 'the cookie is not for scripts, nor for other sites')
  must(before.value !== after.value, 'the cookie is another one after the sign-in')
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
