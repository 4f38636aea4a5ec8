// A second, independent OpenID provider for the login tests: one line of JSON with its
// settings on standard input, its issuer on standard output. It insists on PKCE, signs with
// PS256 and gives claims at userinfo only, all three unlike the first provider.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const settings = await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (part) => {
    text += part;
    if (text.includes("\n")) done(JSON.parse(text));
  });
});

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: "second", alg: "PS256", use: "sig" };
const server = createServer();
await new Promise((ready) => server.listen(0, "localhost", ready));
const issuer = `http://localhost:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: settings.clients,
  jwks: { keys: [key] },
  pkce: { required: () => true },
  scopes: ["openid", "profile"],
  claims: { openid: ["sub"], profile: ["name", "roles", "team"] },
  cookies: { keys: ["only-for-this-test"] },
  enabledJWA: {
    clientAuthSigningAlgValues: ["PS256"],
    idTokenSigningAlgValues: ["PS256"],
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...settings.users[id] }) }),
});
server.on("request", provider.callback());
console.log(issuer);
