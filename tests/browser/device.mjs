// Devices without a browser, connected by a user at `/device`.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { at, ensure, settings, throughEdge, waitFor } from './kit.mjs'

/** A running program: its output so far, and its exit code. */
function start([command, ...args], env = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const program = { out: '', said: '', ended: undefined }
  child.stdout.on('data', (data) => (program.out += data))
  child.stderr.on('data', (data) => (program.said += data))
  program.end = new Promise((resolve) => child.on('close', resolve)).then((code) => (program.ended = { code }))
  return program
}

async function code(program) {
  const words = await waitFor('a code', () => /\b[A-Z]{4}-[A-Z]{4}\b/.exec(program.said + program.out) ?? program.ended)
  ensure(Array.isArray(words), `the program ended: ${program.said}`)
  return words[0]
}

/** The Python example: the user types its code. */
export async function device_example(window, person) {
  const { page } = window
  const program = start(settings.deviceExample)
  const typed = await code(program)
  await page.goto(at('/device'))
  await window.signIn(person)
  await window.check('device')
  await window.field('user_code').fill('BCDF-GHJK')
  await window.press(page.locator('form:has([name="user_code"]) button').first())
  await window.expectText('This code is wrong')
  await window.field('user_code').fill(typed.toLowerCase().replace('-', ' '))
  await window.press(page.locator('form:has([name="user_code"]) button').first())
  await window.expectText(typed)
  await window.check('device asks')
  await window.press(window.field('decision', 'allow'))
  await window.check('device connected')
  await program.end
  ensure(program.ended.code === 0 && program.out.split('.').length === 3, `no token: ${program.said}`)
}

/** The user refuses: the program reports it and exits. */
export async function device_denied(window, person) {
  const program = start(settings.deviceExample)
  await window.page.goto(at(`/device?user_code=${await code(program)}`))
  await window.signIn(person)
  await window.press(window.field('decision', 'deny'))
  await window.check('device refused')
  await program.end
  ensure(program.ended.code === 1 && program.out === '', 'no token was printed')
}

/** `tollgate login` in a terminal: the user revokes its grant on the sessions page, and the edge refuses its token. */
export async function tollgate_login(window, person) {
  const { page } = window
  const home = await mkdtemp(join(tmpdir(), 'tollgate-login-'))
  // `script` provides a terminal.
  const login = `'${settings.tollgate}' login ${settings.issuer} --scope 'openid reports:read'`
  const terminal = start(['script', '--quiet', '--return', '--command', login, '/dev/null'], { HOME: home })
  const typed = await code(terminal)
  ensure(/[▀▄█]/.test(terminal.out), 'it prints a QR code')
  await page.goto(at('/device'))
  await window.signIn(person)
  await window.field('user_code').fill(typed)
  await window.press(page.locator('form:has([name="user_code"]) button').first())
  await window.check('device asks: a command line')
  await window.press(window.field('decision', 'allow'))
  await terminal.end
  ensure(terminal.ended.code === 0, `it succeeds: ${terminal.out}`)
  const printed = start([settings.tollgate, 'login', '--print-token'], { HOME: home })
  await printed.end
  const token = printed.out.trim()
  ensure((await throughEdge(token)) === 200, 'the edge accepts its token')
  await page.goto(at('/account/sessions'))
  await window.press(page.getByRole('button', { name: /^Revoke .?tollgate/i }))
  await waitFor('the edge refuses', async () => (await throughEdge(token)) === 401)
  await rm(home, { recursive: true })
}
