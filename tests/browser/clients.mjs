// The example clients: consent, the code flow, API calls, sign-out, and revoked access.
import { at, ensure, settings, waitFor } from './kit.mjs'

/** The server-side client. */
export async function web_client(window, person) {
  const { page } = window
  await page.goto(settings.web)
  await window.check('web client')
  await window.press(page.getByRole('link', { name: 'Sign in' }))
  await window.signIn(person)
  await window.expectText(person.username)
  await window.check('consent')
  await window.press(window.field('decision', 'allow'))
  ensure(page.url() === `${settings.web}/`, `back at the client, not at ${page.url()}`)
  await window.expectText(`Signed in as ${person.username}`)
  await window.check('web client signed in')
  await window.press(page.getByRole('link', { name: 'Read the report' }))
  await window.expectText('The API answered 200')
  await window.press(page.getByRole('link', { name: 'Back' }))
  await window.press(page.getByRole('button', { name: 'Sign out' }))
  await window.expectText('Nobody is signed in')
}

/** Access that the user revokes is refused at the edge. */
export async function access_revoked(window, person) {
  const { page } = window
  await page.goto(`${settings.web}/sign-in`)
  await window.signIn(person)
  await window.press(window.field('decision', 'allow'))
  await page.goto(`${settings.web}/report`)
  await window.expectText('The API answered 200')
  await page.goto(at('/account/sessions'))
  await window.expectText('Reports')
  await window.check('sessions')
  await window.press(page.getByRole('button', { name: /^Revoke .?Reports/ }))
  await window.expectText(/ended/i)
  await window.check('sessions, one ended')
  await waitFor('the edge refuses', async () => {
    await page.goto(`${settings.web}/report`)
    return (await window.text()).includes('The API answered 401')
  })
  await window.expectText('invalid_token')
}

/** Consent is remembered until it is revoked. */
export async function consent_remembered(window, person) {
  const { page } = window
  const signOut = () => window.press(page.getByRole('button', { name: 'Sign out' }))
  await page.goto(`${settings.web}/sign-in`)
  await window.signIn(person)
  await window.press(window.field('decision', 'allow'))
  await signOut()
  await page.goto(`${settings.web}/sign-in`)
  await window.signIn(person)
  await window.expectText(`Signed in as ${person.username}`)
  await page.goto(at('/account/sessions'))
  await window.press(page.getByRole('button', { name: /^Revoke .?Reports/ }).first())
  await page.goto(`${settings.web}/sign-in`)
  await window.field('decision', 'deny').waitFor()
}

/** A user who denies consent. */
export async function web_client_denied(window, person) {
  const { page } = window
  await page.goto(settings.web)
  await window.press(page.getByRole('link', { name: 'Sign in' }))
  await window.signIn(person)
  await window.press(window.field('decision', 'deny'))
  await window.expectText('You did not allow it')
  await window.check('web client denied')
}

/** The client without a server. */
export async function single_page(window, person) {
  const { page } = window
  await page.goto(settings.singlePage)
  const signIn = page.getByRole('button', { name: 'Sign in' })
  await signIn.waitFor()
  await window.check('single page')
  await window.press(signIn)
  await window.signIn(person)
  await window.press(window.field('decision', 'allow'))
  await page.getByText(`Signed in as ${person.username}.`).waitFor()
  await page.getByRole('button', { name: 'Ask who I am' }).click()
  await waitFor('the answer', async () => (await page.locator('#answer').textContent()).includes(`"${person.username}"`))
  await window.check('single page signed in')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('Nobody is signed in.').waitFor()
}
single_page.scripts = [true]
