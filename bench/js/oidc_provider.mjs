// oidc-provider with one client, whose client credentials give JWT access tokens signed with RS256.
// `tollgate-bench-stack` compares the origin with it. Prints its port, and ends when its standard
// input is closed. Arguments: the folder node_modules, the audience.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, audience] = process.argv.slice(2);
const file = createRequire(`${modules}/package.json`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(file));

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const signingKey = { ...privateKey.export({ format: "jwk" }), kid: "bench", alg: "RS256", use: "sig" };
const client = { client_id: "bench", client_secret: "bench-secret", grant_types: ["client_credentials"] };
const resourceServer = {
  audience,
  scope: "read",
  accessTokenTTL: 3600,
  accessTokenFormat: "jwt",
  jwt: { sign: { alg: "RS256" } },
};
const provider = new Provider("http://localhost", {
  jwks: { keys: [signingKey] },
  clients: [{ ...client, response_types: [], redirect_uris: [] }],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      getResourceServerInfo: () => resourceServer,
    },
  },
});
const server = createServer(provider.callback());
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
