# The benchmark's worker in workerd. `cargo xtask bench` copies this file to a folder with the embedded files.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "bench", worker = .bench)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "bench")],
);

const bench :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "kit.json.txt", text = embed "kit.json"),
    (name = "kit.snapshot.bin", data = embed "kit.snapshot"),
    (name = "tollgate_bench_lane_bg.wasm", wasm = embed "tollgate_bench_lane_bg.wasm"),
    (name = "tollgate_bench_peers_bg.wasm", wasm = embed "tollgate_bench_peers_bg.wasm"),
  ],
);
