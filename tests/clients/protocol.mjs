// How a script talks with the test that runs it: one JSON object a line. `{"step": …}` says that something worked; `{"ask": …}`
// asks the test to play the person, and the answer is one line. Whatever throws ends the script, and fails the test.
import { createInterface } from 'node:readline'

/** The issuer and its clients, as the test registered them. */
export const settings = JSON.parse(process.env.TOLLGATE_TEST_CLIENTS)

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Says that a step worked. */
export function step(name) {
  console.log(JSON.stringify({ step: name }))
}

/** Has the person open a URL (`authorize`, `logout`) or type a code (`device`); where the browser ended. */
export async function ask(what, value) {
  console.log(JSON.stringify({ ask: what, value }))
  const { value: line } = await lines.next()
  return new URL(JSON.parse(line))
}

/** Throws unless the condition holds. */
export function must(condition, words) {
  if (!condition) throw new Error(words)
}

/** Throws unless the promise is refused with this OAuth error. */
export async function refused(promise, error) {
  const why = await promise.then(() => undefined, (caught) => caught)
  must(why?.error === error || why?.cause?.error === error, `expected ${error}, not ${why}`)
}

/** Ends the script as soon as it is done, though the test's end of the pipe is open. */
export async function run(script) {
  await script()
  process.exit(0)
}
