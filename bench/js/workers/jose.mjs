// A Worker that checks tokens with jose, as its documentation shows it, with keys that are imported once.

import { createLocalJWKSet, decodeProtectedHeader, importJWK, jwtVerify } from "jose";

let keys;

async function importKeys({ PUBLIC_JWKS, SECRET_JWKS }) {
  const [secret] = JSON.parse(SECRET_JWKS).keys;
  return { public: createLocalJWKSet(JSON.parse(PUBLIC_JWKS)), secret: await importJWK(secret, "HS256") };
}

export default {
  async fetch(request, env) {
    keys ??= await importKeys(env);
    const token = request.headers.get("authorization")?.slice("Bearer ".length) ?? "";
    try {
      const { alg } = decodeProtectedHeader(token);
      const key = alg === "HS256" ? keys.secret : keys.public;
      await jwtVerify(token, key, { issuer: env.ISSUER, audience: env.AUDIENCE, typ: "at+jwt", algorithms: [alg] });
    } catch {
      return new Response("invalid token", { status: 401 });
    }
    const { pathname, search } = new URL(request.url);
    return fetch(new Request(env.UPSTREAM + pathname + search, request));
  },
};
