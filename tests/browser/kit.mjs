// Kit of the browser flows: Chromium, a window for each user, and checks of every page: axe-core, layout at phone and desktop
// width, both colour themes, and violations of the content security policy.
import { readFile, mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

/** Settings from the test: addresses, clients, users. */
export const settings = JSON.parse(process.env.TOLLGATE_TEST_FLOW_SETTINGS)

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Longest wait in milliseconds, on a busy machine. No check depends on its length. */
export const TIMEOUT_MS = 60_000
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 900 } }
const THEMES = ['light', 'dark']
/** Folder for a screenshot of every checked page, for review by a person. */
const PICTURES = process.env.TOLLGATE_TEST_PICTURES

/** Starts Chromium without its background requests. */
export function launch() {
  const flags = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  const asRoot = process.getuid() === 0 ? ['--no-sandbox'] : []
  const args = [...flags, '--disable-component-update', '--disable-sync', ...asRoot]
  return chromium.launch({ executablePath: process.env.TOLLGATE_TEST_CHROMIUM, args })
}

/** Throws unless the condition holds. */
export function ensure(condition, words) {
  if (!condition) throw new Error(words)
}

/** Reports that a step succeeded. */
export function step(name) {
  console.log(JSON.stringify({ step: name }))
}

/** Calls `ask` until its result is truthy, and returns the result. */
export async function waitFor(what, ask) {
  const ends = Date.now() + TIMEOUT_MS
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    ensure(Date.now() < ends, `${what}: not within ${TIMEOUT_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** A browser window with its own cookies. With `scripts: false` page scripts are disabled and pages are not checked. */
export class Window {
  static async open(browser, { scripts = true } = {}) {
    const context = await browser.newContext({ viewport: SIZES.desk, javaScriptEnabled: scripts })
    context.setDefaultTimeout(TIMEOUT_MS)
    const window = new Window(context, await context.newPage(), scripts)
    await window.#listen()
    return window
  }

  constructor(context, page, scripts) {
    Object.assign(this, { context, page, scripts, faults: [], checked: new Set() })
  }

  async #listen() {
    // Responses such as 403 are logged as errors as well; the flows check the statuses.
    const expected = /^Failed to load resource: the server responded with a status of/
    this.context.on('console', (message) => {
      if (message.type() === 'error' && !expected.test(message.text())) this.#fault(`console: ${message.text()}`)
    })
    this.context.on('weberror', (error) => this.#fault(`script: ${error.error()}`))
    this.context.on('response', (answer) => {
      const status = answer.status()
      if (status >= 500 || (status === 404 && answer.request().resourceType() !== 'document')) this.#fault(`${status} ${answer.url()}`)
    })
    if (!this.scripts) return
    await this.context.exposeFunction('tollgateViolation', (words) => this.#fault(words))
    await this.context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.tollgateViolation(`content security policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)
      })
    })
  }

  #fault(words) {
    // Browsers request the icon by themselves.
    if (!words.includes('/favicon.ico')) this.faults.push(`${this.page.url()}: ${words}`)
  }

  /** Checks the page at each size and theme, once for each `name` in a window. */
  async check(name) {
    ensure(await this.page.title(), `${name}: no title`)
    if (!this.scripts || this.checked.has(name)) return
    this.checked.add(name)
    await this.page.evaluate(AXE)
    for (const [size, viewport] of Object.entries(SIZES)) {
      await this.page.setViewportSize(viewport)
      for (const colorScheme of THEMES) {
        await this.page.emulateMedia({ colorScheme })
        await this.#inspect(`${name} (${size}, ${colorScheme})`, colorScheme)
        if (PICTURES) await this.#picture(`${name.replaceAll(/\W+/g, '-')}-${size}-${colorScheme}`)
      }
    }
  }

  async #inspect(name, colorScheme) {
    // The second theme changes only colours.
    const colours = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] }
    const rules = colorScheme === THEMES[0] ? undefined : colours
    const { faults, wide } = await this.page.evaluate(async (runOnly) => {
      // Waits for the colour transition between the themes.
      await Promise.allSettled(document.getAnimations().map(({ finished }) => finished))
      const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'], ...(runOnly && { runOnly }) })
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      const words = ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`
      const root = document.documentElement
      return { faults: serious.map(words), wide: root.scrollWidth - root.clientWidth }
    }, rules)
    for (const fault of faults) this.faults.push(`${name}: ${fault}`)
    if (wide > 0) this.faults.push(`${name}: ${wide} px wider than the window`)
  }

  async #picture(name) {
    await mkdir(PICTURES, { recursive: true })
    await this.page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true })
  }

  /** The form field with this name and, for buttons, this value. */
  field(name, value) {
    const wanted = value === undefined ? `[name="${name}"]:not([type="hidden"])` : `[name="${name}"][value="${value}"]`
    return this.page.locator(wanted)
  }

  /** Clicks the target, waits for the next page, and returns its status. */
  async press(target) {
    const here = (answer) => answer.request().isNavigationRequest() && answer.frame() === this.page.mainFrame()
    const came = this.page.waitForEvent('response', { predicate: (answer) => here(answer) && !isRedirect(answer.status()) })
    const loaded = this.page.waitForEvent('load')
    const [answer] = await Promise.all([came, loaded, target.click()])
    return answer.status()
  }

  /** Text of the page's main part. */
  text() {
    return this.page.locator('main').innerText()
  }

  async expectText(words) {
    const text = await this.text()
    ensure(words instanceof RegExp ? words.test(text) : text.includes(words), `${this.page.url()} does not contain ${words}: ${text}`)
  }

  /** Submits the sign-in form, and returns the status of the next page. */
  async signIn({ username, password }) {
    await this.field('username').fill(username)
    await this.field('password').fill(password)
    return this.press(this.page.locator('form:has([name="password"]) button'))
  }

  async close() {
    await this.context.close()
    ensure(this.faults.length === 0, `page faults:\n${[...new Set(this.faults)].join('\n')}`)
  }
}

const isRedirect = (status) => status >= 300 && status < 400

/** URL of a path at the origin. */
export const at = (path) => settings.issuer + path

/** Status of a request through the edge with this token. */
export async function throughEdge(token) {
  return (await fetch(`${settings.edge}/reports/1`, { headers: { authorization: `Bearer ${token}` } })).status
}
