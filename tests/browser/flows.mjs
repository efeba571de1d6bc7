// People at the origin's pages and at the example clients, in one Chromium. Each flow has a person and a window of its own, and
// runs with the pages' scripts and without. It says by one JSON object a line which steps worked; whatever throws fails the test.
import { launch, settings, step, Window } from './kit.mjs'
import * as account from './account.mjs'
import * as clients from './clients.mjs'
import * as administration from './console.mjs'
import * as device from './device.mjs'

/** Most of a flow's time is waiting, for a password to be hashed or a device to ask again. */
const AT_ONCE = 4
/** Only flows whose names have this in them, while one is being written. */
const ONLY = process.env.TOLLGATE_TEST_FLOW ?? ''

const browser = await launch()
let failed = false

async function play([name, flow, scripts]) {
  const label = scripts ? name : `${name} without scripts`
  const window = await Window.open(browser, { scripts })
  try {
    await flow(window, settings.people[scripts ? name : `${name}_plain`], () => Window.open(browser, { scripts }))
    await window.close()
    step(label)
  } catch (error) {
    failed = true
    console.error(`${label}: ${error.stack}\nat ${window.page.url()}\n${window.faults.join('\n')}\n`)
  }
}

// The longest first.
const flows = Object.entries({ ...administration, ...device, ...clients, ...account })
const runs = flows.flatMap(([name, flow]) => (flow.scripts ?? [true, false]).map((scripts) => [name, flow, scripts]))
const waiting = runs.filter(([name]) => name.includes(ONLY)).values()
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (const run of waiting) await play(run)
}))
await browser.close()
process.exit(failed ? 1 : 0)
