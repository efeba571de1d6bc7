// The judge as a Worker: lines in the body of a request, verdicts in the answer.
import { initSync, judge } from "./tollgate_judge.js";
import module from "./tollgate_judge_bg.wasm";

initSync({ module });

export default {
  async fetch(request) {
    return new Response(judge(await request.text()));
  },
};
