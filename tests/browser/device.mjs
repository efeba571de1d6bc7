// Devices without a browser: a person connects them at `/device`.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { at, must, settings, throughEdge, until } from './kit.mjs'

/** A program that waits for its person; what it says so far, and how it ended. */
function start([command, ...args], env = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const program = { out: '', said: '', ended: undefined }
  child.stdout.on('data', (data) => (program.out += data))
  child.stderr.on('data', (data) => (program.said += data))
  program.end = new Promise((resolve) => child.on('close', resolve)).then((code) => (program.ended = { code }))
  return program
}

async function code(program) {
  const words = await until('a code', () => /\b[A-Z]{4}-[A-Z]{4}\b/.exec(program.said + program.out) ?? program.ended)
  must(Array.isArray(words), `the program ended: ${program.said}`)
  return words[0]
}

/** The example in Python, whose code the person types. */
export async function device_example(window, person) {
  const { page } = window
  const program = start(settings.deviceExample)
  const typed = await code(program)
  await page.goto(at('/device'))
  await window.signIn(person)
  await window.look('device')
  await window.field('user_code').fill('BCDF-GHJK')
  await window.press(page.locator('form:has([name="user_code"]) button').first())
  await window.says('no device')
  await window.field('user_code').fill(typed.toLowerCase().replace('-', ' '))
  await window.press(page.locator('form:has([name="user_code"]) button').first())
  await window.says(typed)
  await window.look('device asks')
  await window.press(window.field('decision', 'allow'))
  await window.look('device connected')
  await program.end
  must(program.ended.code === 0 && program.out.split('.').length === 3, `no token: ${program.said}`)
}

/** Refused: the program says so and ends. */
export async function device_denied(window, person) {
  const program = start(settings.deviceExample)
  await window.page.goto(at(`/device?user_code=${await code(program)}`))
  await window.signIn(person)
  await window.press(window.field('decision', 'deny'))
  await window.look('device refused')
  await program.end
  must(program.ended.code === 1 && program.out === '', 'nothing was given')
}

/** `tollgate login` waits in a terminal; what it was given is taken back among the sessions, and the edge refuses it. */
export async function tollgate_login(window, person) {
  const { page } = window
  const home = await mkdtemp(join(tmpdir(), 'tollgate-login-'))
  // `script` gives it a terminal of its own.
  const login = `'${settings.tollgate}' login ${settings.issuer} --scope 'openid reports:read'`
  const terminal = start(['script', '--quiet', '--return', '--command', login, '/dev/null'], { HOME: home })
  const typed = await code(terminal)
  must(/[▀▄█]/.test(terminal.out), 'it draws a QR code')
  await page.goto(at('/device'))
  await window.signIn(person)
  await window.field('user_code').fill(typed)
  await window.press(page.locator('form:has([name="user_code"]) button').first())
  await window.look('device asks: a command line')
  await window.press(window.field('decision', 'allow'))
  await terminal.end
  must(terminal.ended.code === 0, `it ends well: ${terminal.out}`)
  const printed = start([settings.tollgate, 'login', '--print-token'], { HOME: home })
  await printed.end
  const token = printed.out.trim()
  must((await throughEdge(token)) === 200, 'the edge lets its token pass')
  await page.goto(at('/account/sessions'))
  await window.press(page.getByRole('button', { name: /^Revoke tollgate/ }))
  await until('the edge refuses', async () => (await throughEdge(token)) === 401)
  await rm(home, { recursive: true })
}
