// Runs the worker in workerd and passes lines on: `CHECK COUNT` comes in, nanoseconds go out. Time stands still inside
// workerd while code runs: a request with so many checks is timed from outside, and an empty request right before it is
// taken off.
// Usage: node workerd.mjs TOOLS CONFIG, started by `cargo xtask bench`.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [tools, config] = process.argv.slice(2);
const { default: program } = createRequire(`${tools}/package.json`)("workerd"); // the path of the program itself
// On its third stream workerd tells which port it got.
const workerd = spawn(program, ["serve", config, "--control-fd=3"], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
process.on("exit", () => workerd.kill());
workerd.on("exit", (code) => process.exit(code ?? 1));
const url = await new Promise((resolve) => {
  createInterface({ input: workerd.stdio[3] }).on("line", (line) => {
    const { event, port } = JSON.parse(line);
    if (event === "listen") resolve(`http://127.0.0.1:${port}/`);
  });
});

async function ask(query) {
  const started = process.hrtime.bigint();
  const answer = await fetch(`${url}${query}`);
  const said = await answer.text();
  const took = process.hrtime.bigint() - started;
  if (said !== "done") throw new Error(`workerd answers ${answer.status}: ${said}`);
  return took;
}

await ask("");
for await (const line of createInterface({ input: process.stdin })) {
  const [check, count] = line.split(" ");
  const empty = [await ask(""), await ask(""), await ask("")].sort((a, b) => Number(a - b))[1];
  const took = await ask(`?check=${encodeURIComponent(check)}&count=${count}`);
  console.log(String(took > empty ? took - empty : 1n));
}
workerd.removeAllListeners("exit");
workerd.kill();
