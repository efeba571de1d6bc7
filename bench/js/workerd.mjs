// The lane in workerd: reads lines `CHECK COUNT` and writes nanoseconds. The clock of workerd does not advance while code runs, so a
// request with many checks is timed from outside, and the time of an empty request right before it is subtracted.
// Usage: node workerd.mjs TOOLS CONFIG, started by `cargo xtask bench`.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [tools, config] = process.argv.slice(2);
const { default: program } = createRequire(`${tools}/package.json`)("workerd"); // path of the program
// workerd writes its port to file descriptor 3.
const workerd = spawn(program, ["serve", config, "--control-fd=3"], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
process.on("exit", () => workerd.kill());
workerd.on("exit", (code) => process.exit(code ?? 1));
const url = await new Promise((resolve) => {
  createInterface({ input: workerd.stdio[3] }).on("line", (line) => {
    const { event, port } = JSON.parse(line);
    if (event === "listen") resolve(`http://127.0.0.1:${port}/`);
  });
});

async function request(query) {
  const started = process.hrtime.bigint();
  const answer = await fetch(`${url}${query}`);
  const body = await answer.text();
  const took = process.hrtime.bigint() - started;
  if (body !== "done") throw new Error(`workerd answers ${answer.status}: ${body}`);
  return took;
}

await request("");
for await (const line of createInterface({ input: process.stdin })) {
  const [check, count] = line.split(" ");
  const empty = [await request(""), await request(""), await request("")].sort((a, b) => Number(a - b))[1];
  const took = await request(`?check=${encodeURIComponent(check)}&count=${count}`);
  console.log(String(took > empty ? took - empty : 1n));
}
workerd.removeAllListeners("exit");
workerd.kill();
