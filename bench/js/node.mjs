// The lane in Node: reads lines `CHECK COUNT`, runs the check, and writes the nanoseconds that it took.
// Usage: node node.cjs KIT SNAPSHOT MODULES, bundled and started by `cargo xtask bench`.

import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { createVerifier } from "fast-jwt";

import { makeChecks } from "./checks.mjs";
import * as peers from "tollgate-bench-modules/tollgate_bench_peers.js";
import * as tollgate from "tollgate-bench-modules/tollgate_bench_lane.js";

const [kitFile, snapshot, modules] = process.argv.slice(2);
const text = readFileSync(kitFile, "utf8");
const kit = JSON.parse(text);
const load = (bindings, name) =>
  bindings.initSync({ module: new WebAssembly.Module(readFileSync(`${modules}/${name}_bg.wasm`)) });
load(tollgate, "tollgate_bench_lane");
load(peers, "tollgate_bench_peers");

const { run, checks } = await makeChecks(kit, {
  tollgate: new tollgate.Lane(text, readFileSync(snapshot)),
  peers: new peers.Lane(text),
});
for (const [algorithm, token] of Object.entries(kit.tokens)) {
  checks.set(`fast-jwt/${algorithm}`, fastJwt(algorithm, token, false));
  checks.set(`fast-jwt-cache/${algorithm}`, fastJwt(algorithm, token, true));
}

function fastJwt(algorithm, { text, jwk }, cache) {
  const pem = () => createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
  const key = algorithm === "HS256" ? Buffer.from(jwk.k, "base64url") : pem();
  const options = { key, cache, algorithms: [algorithm], allowedIss: kit.issuer, allowedAud: kit.audience };
  const verify = createVerifier(options);
  return (count) => {
    for (let nth = 0; nth < count; nth++) verify(text);
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, count] = line.split(" ");
  const started = process.hrtime.bigint();
  await run(name, Number(count));
  console.log(String(process.hrtime.bigint() - started));
}
