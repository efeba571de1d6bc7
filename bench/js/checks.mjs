// The checks for V8, used in Node and in workerd: Tollgate's module, jsonwebtoken's, jose, and WebCrypto's signature check.

import { importJWK, jwtVerify } from "jose";

const decoder = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

/// WebCrypto's parameters of the algorithms.
const WEBCRYPTO = {
  HS256: { name: "HMAC", hash: "SHA-256" },
  EdDSA: { name: "Ed25519" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

/// The checks by name. Each runs `count` times and throws on a wrong answer.
export async function makeChecks(kit, modules) {
  const checks = new Map();
  for (const [algorithm, { text, jwk }] of Object.entries(kit.tokens)) {
    const parameters = WEBCRYPTO[algorithm];
    const key = await crypto.subtle.importKey("jwk", jwk, parameters, false, ["verify"]);
    checks.set(`jose/${algorithm}`, await jose(kit, algorithm, text, jwk, key));
    checks.set(`webcrypto/${algorithm}`, webcrypto(parameters, text, key));
  }
  const inModule = (name) => (name.startsWith("jsonwebtoken/") ? modules.peers : modules.tollgate);
  return { run: (name, count) => (checks.has(name) ? checks.get(name)(count) : inModule(name).run(name, count)), checks };
}

/// jose with a prepared key, which for HS256 is faster than the secret's bytes that most applications pass.
async function jose(kit, algorithm, text, jwk, imported) {
  const key = algorithm === "HS256" ? imported : await importJWK(jwk, algorithm);
  const options = { issuer: kit.issuer, audience: kit.audience, algorithms: [algorithm], typ: "at+jwt" };
  return async (count) => {
    for (let nth = 0; nth < count; nth++) await jwtVerify(text, key, options);
  };
}

/// Only the signature.
function webcrypto(parameters, text, key) {
  const dot = text.lastIndexOf(".");
  const [input, signature] = [new TextEncoder().encode(text.slice(0, dot)), decoder(text.slice(dot + 1))];
  return async (count) => {
    for (let nth = 0; nth < count; nth++) {
      if (!(await crypto.subtle.verify(parameters, key, signature, input))) throw new Error("a valid signature is refused");
    }
  };
}
