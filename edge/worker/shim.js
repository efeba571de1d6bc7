// Entry point of the Worker: exports the module's `fetch` handler and Durable Object, and starts the module again after
// a trap, which leaves its memory in an unknown state. From worker-build 0.8.7 (workers-rs, Apache-2.0), for these two
// exports. `cargo xtask build worker` bundles it with the module's bindings, `index.js`.

import { WorkerEntrypoint } from "cloudflare:workers";
import * as exports from "./index.js";

Error.stackTraceLimit = 100;
// `criticalError`: the module has trapped. `instanceId`: grows with each restart.
const state = exports.__worker_init_state();

function restartAfterTrap() {
  if (state.criticalError) {
    console.log("restarting the WebAssembly module");
    exports.__wbg_reset_state();
    state.criticalError = false;
    state.instanceId++;
  }
}

function noteTrap(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    console.error("the WebAssembly module has trapped", error);
    state.criticalError = true;
  }
}

addEventListener("error", (event) => noteTrap(event.error));

class Entrypoint extends WorkerEntrypoint {
  fetch(request) {
    return exports.fetch.call(this, request, this.env, this.ctx);
  }
}

// An instance of a class, created again when the module was restarted after its creation.
const instanceProxyHooks = {
  set: (target, prop, value, receiver) => Reflect.set(target.instance, prop, value, receiver),
  has: (target, prop) => Reflect.has(target.instance, prop),
  deleteProperty: (target, prop) => Reflect.deleteProperty(target.instance, prop),
  apply: (target, thisArg, args) => Reflect.apply(target.instance, thisArg, args),
  construct: (target, args, newTarget) => Reflect.construct(target.instance, args, newTarget),
  getPrototypeOf: (target) => Reflect.getPrototypeOf(target.instance),
  setPrototypeOf: (target, proto) => Reflect.setPrototypeOf(target.instance, proto),
  isExtensible: (target) => Reflect.isExtensible(target.instance),
  preventExtensions: (target) => Reflect.preventExtensions(target.instance),
  getOwnPropertyDescriptor: (target, prop) => Reflect.getOwnPropertyDescriptor(target.instance, prop),
  defineProperty: (target, prop, descriptor) => Reflect.defineProperty(target.instance, prop, descriptor),
  ownKeys: (target) => Reflect.ownKeys(target.instance),
};

const classProxyHooks = {
  construct(ctor, args, newTarget) {
    try {
      restartAfterTrap();
      const instance = {
        instance: Reflect.construct(ctor, args, newTarget),
        instanceId: state.instanceId,
        ctor,
        args,
        newTarget
      };
      return new Proxy(instance, {
        ...instanceProxyHooks,
        get(target, prop, receiver) {
          if (target.instanceId !== state.instanceId) {
            target.instance = Reflect.construct(target.ctor, target.args, target.newTarget);
            target.instanceId = state.instanceId;
          }
          const original = Reflect.get(target.instance, prop, receiver);
          if (typeof original !== "function") return original;
          if (original.constructor === Function) {
            return new Proxy(original, {
              apply(target, thisArg, argArray) {
                restartAfterTrap();
                try {
                  return target.apply(thisArg, argArray);
                } catch (e) {
                  noteTrap(e);
                  throw e;
                }
              }
            });
          } else {
            return new Proxy(original, {
              async apply(target, thisArg, argArray) {
                restartAfterTrap();
                try {
                  return await target.apply(thisArg, argArray);
                } catch (e) {
                  noteTrap(e);
                  throw e;
                }
              }
            });
          }
        }
      });
    } catch (e) {
      state.criticalError = true;
      throw e;
    }
  }
};

export default new Proxy(Entrypoint, classProxyHooks);
export const Hub = new Proxy(exports.Hub, classProxyHooks);
