// Runs the user flows in one Chromium. Each flow has its own user and window, and runs with and without page scripts. Successful
// steps are printed as one JSON object a line; an exception fails the test.
import { launch, settings, step, Window } from './kit.mjs'
import * as account from './account.mjs'
import * as clients from './clients.mjs'
import * as administration from './console.mjs'
import * as device from './device.mjs'

/** Concurrent flows: they mostly wait, for password hashing or for a device's next poll. */
const MAX_CONCURRENT_FLOWS = 4
/** Runs only flows whose names contain this text, for development. */
const ONLY = process.env.TOLLGATE_TEST_FLOW ?? ''

const browser = await launch()
let failed = false

async function runFlow([name, flow, scripts]) {
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

// The longest flows first.
const flows = Object.entries({ ...administration, ...device, ...clients, ...account })
const runs = flows.flatMap(([name, flow]) => (flow.scripts ?? [true, false]).map((scripts) => [name, flow, scripts]))
const waiting = runs.filter(([name]) => name.includes(ONLY)).values()
await Promise.all(Array.from({ length: MAX_CONCURRENT_FLOWS }, async () => {
  for (const run of waiting) await runFlow(run)
}))
await browser.close()
process.exit(failed ? 1 : 0)
