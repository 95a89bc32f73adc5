// An authorization server for the tests: oidc-provider with what MCP asks of one.
//
//   node provider.mjs '{"clients": [...], "documents": {"https://...": {...}}, "methods": [...]}'
//
// `clients` are registered beforehand, `documents` are the client ID metadata documents that its fetch finds: it fetches
// nothing else. `methods` are the ways for clients to say who they are. Prints {"issuer": ...} when it listens, on a
// loopback port that the system chose. To every line on stdin it answers with a line: what has happened since, as a JSON
// list. It ends when stdin does.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Provider, errors } = createRequire(new URL("../node/package.json", import.meta.url))("oidc-provider");
const { clients, documents, methods } = JSON.parse(process.argv[2]);

console.info = console.error; // stdout is for what is said above

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [{ ...key, alg: "ES256", use: "sig" }] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  clientAuthMethods: methods,
  pkce: { required: () => true },
  scopes: ["openid", "offline_access", "read", "write"], // some clients register with what the resource names
  rotateRefreshToken: true,
  // Anybody who knows a login may log in: the pages are its own ones for development.
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    clientCredentials: { enabled: true },
    clientIdMetadataDocument: { enabled: true, ack: "draft-02" },
    devInteractions: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_, resource) {
        const { hostname, pathname } = new URL(resource);
        if (hostname !== "127.0.0.1") throw new errors.InvalidTarget();
        return {
          audience: resource,
          scope: "read write",
          accessTokenFormat: "jwt",
          accessTokenTTL: pathname === "/brief" ? 3 : 3600,
          jwt: { sign: { alg: "ES256" } },
        };
      },
    },
    revocation: { enabled: true },
  },
  fetch: async (url) => (url in documents ? Response.json(documents[url]) : new Response(null, { status: 404 })),
  ttl: { AccessToken: 3, Grant: 3600, IdToken: 3600, Interaction: 600, RefreshToken: 3600, Session: 3600 },
});

const happened = [];
const tell = (event, facts) => happened.push(JSON.parse(JSON.stringify({ event, ...facts })));
const grant = (event) => (ctx, error) => {
  const { client_secret, client_assertion, ...params } = ctx.oidc.params;
  const basic = ctx.headers.authorization && "client_secret_basic";
  const said = basic || (client_secret && "client_secret_post") || (client_assertion && "private_key_jwt") || "none";
  tell(event, { ...params, client_id: ctx.oidc.client?.clientId, method: said, error: error?.error });
};
provider.on("registration_create.success", (ctx) => tell("registered", ctx.oidc.body));
provider.on("authorization.accepted", (ctx) => tell("authorized", ctx.oidc.params));
provider.on("grant.success", grant("granted"));
provider.on("grant.error", grant("grant refused"));
provider.on("server_error", (_, error) => console.error(error));

server.on("request", provider.callback());
console.log(JSON.stringify({ issuer }));
createInterface({ input: process.stdin })
  .on("line", () => console.log(JSON.stringify(happened.splice(0))))
  .on("close", () => process.exit(0));
