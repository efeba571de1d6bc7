// Protocol between a script and its test: one JSON object a line. `{"step": …}` reports a successful step; `{"ask": …}` asks the
// test to act as the user and is answered by one line. An exception ends the script and fails the test.
import { createInterface } from 'node:readline'

/** The issuer and the clients that the test registered. */
export const settings = JSON.parse(process.env.TOLLGATE_TEST_CLIENTS)

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Reports that a step succeeded. */
export function step(name) {
  console.log(JSON.stringify({ step: name }))
}

/** Lets the user open a URL (`authorize`, `logout`) or type a code (`device`); returns the URL where the browser ended. */
export async function ask(what, value) {
  console.log(JSON.stringify({ ask: what, value }))
  const { value: line } = await lines.next()
  return new URL(JSON.parse(line))
}

/** Throws unless the condition holds. */
export function ensure(condition, words) {
  if (!condition) throw new Error(words)
}

/** Throws unless the promise is refused with this OAuth error. */
export async function refused(promise, error) {
  const why = await promise.then(() => undefined, (caught) => caught)
  ensure(why?.error === error || why?.cause?.error === error, `expected ${error}, not ${why}`)
}

/** Runs the script and exits, although the pipe from the test is still open. */
export async function run(script) {
  await script()
  process.exit(0)
}
