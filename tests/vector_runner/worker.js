// The vector runner as a Worker: vectors in the request body, result letters in the response.
import { initSync, run_vectors } from "./tollgate_vector_runner.js";
import module from "./tollgate_vector_runner_bg.wasm";

initSync({ module });

export default {
  async fetch(request) {
    return new Response(run_vectors(await request.text()));
  },
};
