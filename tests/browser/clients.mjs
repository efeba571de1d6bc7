// The example clients: consent, the code flow, calls, sign-out, and access that is taken back.
import { at, must, settings, until } from './kit.mjs'

/** The server-side one. */
export async function web_client(window, person) {
  const { page } = window
  await page.goto(settings.web)
  await window.look('web client')
  await window.press(page.getByRole('link', { name: 'Sign in' }))
  await window.signIn(person)
  await window.says(person.username)
  await window.look('consent')
  await window.press(window.field('decision', 'allow'))
  must(page.url() === `${settings.web}/`, `back at the client, not at ${page.url()}`)
  await window.says(`Signed in as ${person.username}`)
  await window.look('web client signed in')
  await window.press(page.getByRole('link', { name: 'Read the report' }))
  await window.says('The API answered 200')
  await window.press(page.getByRole('link', { name: 'Back' }))
  await window.press(page.getByRole('button', { name: 'Sign out' }))
  await window.says('Nobody is signed in')
}

/** Access that its owner takes back ends at the edge, too. */
export async function revoked(window, person) {
  const { page } = window
  await page.goto(`${settings.web}/sign-in`)
  await window.signIn(person)
  await window.press(window.field('decision', 'allow'))
  await page.goto(`${settings.web}/report`)
  await window.says('The API answered 200')
  await page.goto(at('/account/sessions'))
  await window.says('Reports')
  await window.look('sessions')
  await window.press(page.getByRole('button', { name: /^Revoke Reports/ }))
  await window.says(/ended/i)
  await window.look('sessions, one ended')
  await until('the edge refuses', async () => {
    await page.goto(`${settings.web}/report`)
    return (await window.text()).includes('The API answered 401')
  })
  await window.says('invalid_token')
}

/** What was allowed once is not asked again, unless it is taken back. */
export async function remembered(window, person) {
  const { page } = window
  const signOut = () => window.press(page.getByRole('button', { name: 'Sign out' }))
  await page.goto(`${settings.web}/sign-in`)
  await window.signIn(person)
  await window.press(window.field('decision', 'allow'))
  await signOut()
  await page.goto(`${settings.web}/sign-in`)
  await window.signIn(person)
  await window.says(`Signed in as ${person.username}`)
  await page.goto(at('/account/sessions'))
  await window.press(page.getByRole('button', { name: /^Revoke Reports/ }).first())
  await page.goto(`${settings.web}/sign-in`)
  await window.field('decision', 'deny').waitFor()
}

/** Somebody who thinks better of it. */
export async function web_client_denied(window, person) {
  const { page } = window
  await page.goto(settings.web)
  await window.press(page.getByRole('link', { name: 'Sign in' }))
  await window.signIn(person)
  await window.press(window.field('decision', 'deny'))
  await window.says('You did not allow it')
  await window.look('web client denied')
}

/** The one without a server. */
export async function single_page(window, person) {
  const { page } = window
  await page.goto(settings.singlePage)
  const signIn = page.getByRole('button', { name: 'Sign in' })
  await signIn.waitFor()
  await window.look('single page')
  await window.press(signIn)
  await window.signIn(person)
  await window.press(window.field('decision', 'allow'))
  await page.getByText(`Signed in as ${person.username}.`).waitFor()
  await page.getByRole('button', { name: 'Ask who I am' }).click()
  await until('the answer', async () => (await page.locator('#answer').textContent()).includes(`"${person.username}"`))
  await window.look('single page signed in')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('Nobody is signed in.').waitFor()
}
single_page.scripts = [true]
