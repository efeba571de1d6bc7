// The checks in workerd: a request `/?check=CHECK&count=COUNT` runs a check. The clock of workerd does not advance while code runs,
// so the caller measures the time. A request without a check does nothing.

import kitText from "./kit.json.txt";
import snapshot from "./kit.snapshot.bin";
import peersModule from "./tollgate_bench_peers_bg.wasm";
import tollgateModule from "./tollgate_bench_lane_bg.wasm";

import { makeChecks } from "./checks.mjs";
import * as peers from "tollgate-bench-modules/tollgate_bench_peers.js";
import * as tollgate from "tollgate-bench-modules/tollgate_bench_lane.js";

let ready;

async function start() {
  tollgate.initSync({ module: tollgateModule });
  peers.initSync({ module: peersModule });
  const modules = { tollgate: new tollgate.Lane(kitText, new Uint8Array(snapshot)), peers: new peers.Lane(kitText) };
  return makeChecks(JSON.parse(kitText), modules);
}

export default {
  async fetch(request) {
    ready ??= start();
    const { run } = await ready;
    const parameters = new URL(request.url).searchParams;
    const check = parameters.get("check");
    if (check !== null) await run(check, Number(parameters.get("count")));
    return new Response("done");
  },
};
