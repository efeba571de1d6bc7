// What the flows stand on: one Chromium, people with a browser window each, and eyes that look at every page they are shown:
// with axe-core, at the width of a phone and of a desk, in both themes, for broken rules of the content security policy.
import { readFile, mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

/** What the test tells: addresses, clients, people. */
export const settings = JSON.parse(process.env.TOLLGATE_TEST_FLOW_SETTINGS)

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** How long anything awaited may take on a busy machine. No promise is tested by it. */
export const PATIENCE = 60_000
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 900 } }
const THEMES = ['light', 'dark']
/** Where to put a picture of every page that was looked at, for a person's eyes. */
const PICTURES = process.env.TOLLGATE_TEST_PICTURES

/** Chromium that calls nobody but the pages it is sent to. */
export function launch() {
  const flags = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  const asRoot = process.getuid() === 0 ? ['--no-sandbox'] : []
  const args = [...flags, '--disable-component-update', '--disable-sync', ...asRoot]
  return chromium.launch({ executablePath: process.env.TOLLGATE_TEST_CHROMIUM, args })
}

/** Throws unless the condition holds. */
export function must(condition, words) {
  if (!condition) throw new Error(words)
}

/** Says that a step worked. */
export function step(name) {
  console.log(JSON.stringify({ step: name }))
}

/** Asks again and again until the answer is not empty; the answer. */
export async function until(what, ask) {
  const ends = Date.now() + PATIENCE
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    must(Date.now() < ends, `${what}: not within ${PATIENCE / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** A browser window of somebody's own. With `scripts: false` no page's script runs there, and nothing is inspected. */
export class Window {
  static async open(browser, { scripts = true } = {}) {
    const context = await browser.newContext({ viewport: SIZES.desk, javaScriptEnabled: scripts })
    context.setDefaultTimeout(PATIENCE)
    const window = new Window(context, await context.newPage(), scripts)
    await window.#listen()
    return window
  }

  constructor(context, page, scripts) {
    Object.assign(this, { context, page, scripts, faults: [], looked: new Set() })
  }

  async #listen() {
    // An answer of 403 is logged as an error, too; whether it should be there is for the flow to say.
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
    // Browsers ask for an icon by themselves.
    if (!words.includes('/favicon.ico')) this.faults.push(`${this.page.url()}: ${words}`)
  }

  /** Looks at the page as everybody will see it. Each kind of page once a window: `name` says which it is. */
  async look(name) {
    must(await this.page.title(), `${name}: no title`)
    if (!this.scripts || this.looked.has(name)) return
    this.looked.add(name)
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
    // Another theme changes colours and nothing else.
    const colours = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] }
    const rules = colorScheme === THEMES[0] ? undefined : colours
    const { faults, wide } = await this.page.evaluate(async (runOnly) => {
      // Colours fade from one theme into the other.
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

  /** The element, by its `name` and, for buttons, its value. */
  field(name, value) {
    const wanted = value === undefined ? `[name="${name}"]:not([type="hidden"])` : `[name="${name}"][value="${value}"]`
    return this.page.locator(wanted)
  }

  /** Presses what leads to another page, and waits until that has come; the status of its answer. */
  async press(target) {
    const here = (answer) => answer.request().isNavigationRequest() && answer.frame() === this.page.mainFrame()
    const came = this.page.waitForEvent('response', { predicate: (answer) => here(answer) && !isRedirect(answer.status()) })
    const loaded = this.page.waitForEvent('load')
    const [answer] = await Promise.all([came, loaded, target.click()])
    return answer.status()
  }

  /** What the page says, as a person reads it. */
  text() {
    return this.page.locator('main').innerText()
  }

  async says(words) {
    const text = await this.text()
    must(words instanceof RegExp ? words.test(text) : text.includes(words), `${this.page.url()} does not say ${words}: ${text}`)
  }

  /** Fills in `/login` and goes on; the status of what comes. */
  async signIn({ username, password }) {
    await this.field('username').fill(username)
    await this.field('password').fill(password)
    return this.press(this.page.locator('form:has([name="password"]) button'))
  }

  async close() {
    await this.context.close()
    must(this.faults.length === 0, `faults of pages:\n${[...new Set(this.faults)].join('\n')}`)
  }
}

const isRedirect = (status) => status >= 300 && status < 400

/** A page of the origin. */
export const at = (path) => settings.issuer + path

/** The status of a request with this token through the edge. */
export async function throughEdge(token) {
  return (await fetch(`${settings.edge}/reports/1`, { headers: { authorization: `Bearer ${token}` } })).status
}
