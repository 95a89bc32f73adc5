// The official TypeScript SDK on Node's own HTTP server, in an environment of its own, with the guards its README puts
// in front. It makes a server per request (in a session: per session), so only what --serve names is registered.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    modules: { type: "string" }, // the folder with node_modules
    serve: { type: "string" }, // the tool or prompt, or "resources/read"; else all
    tools: { type: "string", default: "0" }, // that many tools for a list instead
    token: { type: "string" }, // ask for this bearer token
    stateless: { type: "boolean", default: false }, // revisions before 2026-07-28, without sessions
    sessions: { type: "boolean", default: false }, // the same in sessions
    json: { type: "boolean", default: false }, // answer in JSON only
  },
});

const require = createRequire(join(options.modules, "package.json"));
const {
  bearerAuthChallengeResponse,
  createMcpHandler,
  McpServer,
  OAuthError,
  OAuthErrorCode,
  verifyBearerToken,
} = require("@modelcontextprotocol/server");
const {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
} = require("@modelcontextprotocol/node");
const z = require("zod");

const NOTES = 100;
const BIG = "The quick brown fox jumps over the lazy dog; ".repeat(23_302);

// Schemas are made once; only servers are made per request.
const numbers = z.object({ a: z.int(), b: z.int() });
const number = z.object({ result: z.int() });
const text = z.object({ result: z.string() });
const profile = z.object({
  first_name: z.string(),
  last_name: z.string(),
  email: z.string(),
  phone: z.string(),
  street: z.string(),
  city: z.string(),
  postcode: z.string(),
  country: z.string(),
  company: z.string().nullable(),
  age: z.int(),
  children: z.int(),
  visits: z.int(),
  points: z.int(),
  height: z.number(),
  weight: z.number(),
  balance: z.number(),
  active: z.boolean(),
  newsletter: z.boolean(),
  plan: z.enum(["free", "team", "enterprise"]),
  tags: z.array(z.string()),
});
const search = z.object({
  query: z.string(),
  limit: z.int().default(10),
  exact: z.boolean().default(false),
  tags: z.array(z.string()).nullable().default(null),
});
const named = z.object({ name: z.string() });

function answer(result) {
  return { content: [{ type: "text", text: String(result) }], structuredContent: { result } };
}

const addition = { description: "Add two numbers.", inputSchema: numbers, outputSchema: number };
const saving = {
  description: "Save a profile, and give it back as it was saved.",
  inputSchema: z.object({ profile }),
  outputSchema: profile,
};
const TOOLS = {
  add: [addition, async ({ a, b }) => answer(a + b)],
  add_sync: [addition, ({ a, b }) => answer(a + b)],
  save: [
    saving,
    async ({ profile }) => ({
      content: [{ type: "text", text: JSON.stringify(profile) }],
      structuredContent: profile,
    }),
  ],
  big_text: [{ description: "A text of one megabyte.", outputSchema: text }, async () => answer(BIG)],
  notes: [
    { description: "Say how far it is, often.", outputSchema: text },
    async (context) => {
      const { _meta, notify } = context.mcpReq;
      for (let progress = 1; progress <= NOTES; progress++) {
        const params = { progressToken: _meta.progressToken, progress, total: NOTES };
        await notify({ method: "notifications/progress", params });
      }
      return answer("done");
    },
  ],
};

function wanted(name) {
  return options.serve === undefined || options.serve === name;
}

function newServer() {
  const server = new McpServer({ name: "benchmark", version: "1" });
  const count = Number(options.tools);
  for (let index = 0; index < count; index++) {
    const description = "Search one collection for a query and give the best matches, one a line.";
    const config = { description, inputSchema: search, outputSchema: text };
    const call = async ({ query, limit, exact, tags }) => answer(`${query} ${limit} ${exact} ${tags}`);
    server.registerTool(`search_collection_${String(index).padStart(3, "0")}`, config, call);
  }
  if (count) return server;
  for (const [name, [config, call]] of Object.entries(TOOLS)) {
    if (wanted(name)) server.registerTool(name, config, call);
  }
  if (wanted("resources/read")) {
    const read = async (uri) => ({ contents: [{ uri: uri.href, text: "The content of a small resource." }] });
    server.registerResource("text", "bench://text", { description: "A resource of one line." }, read);
  }
  if (wanted("greeting")) {
    const render = async ({ name }) => ({
      messages: [{ role: "user", content: { type: "text", text: `Write a greeting for ${name}, please.` } }],
    });
    server.registerPrompt("greeting", { description: "A prompt with one argument.", argsSchema: named }, render);
  }
  return server;
}

// 2026-07-28: the SDK's entry for it.
function modern() {
  return toNodeHandler(createMcpHandler(newServer, { responseMode: options.json ? "json" : "auto" }));
}

function stateless() {
  return async (request, response) => {
    const transport = new NodeStreamableHTTPServerTransport({ enableJsonResponse: options.json });
    response.on("close", () => void transport.close());
    await newServer().connect(transport);
    await transport.handleRequest(request, response);
  };
}

function inSessions() {
  const transports = new Map();
  return async (request, response) => {
    let transport = transports.get(request.headers["mcp-session-id"]);
    if (transport === undefined) {
      transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        enableJsonResponse: options.json,
        onsessioninitialized: (session) => void transports.set(session, transport),
      });
      await newServer().connect(transport);
    }
    await transport.handleRequest(request, response);
  };
}

const verifier = {
  async verifyAccessToken(token) {
    if (token !== options.token) throw new OAuthError(OAuthErrorCode.InvalidToken, "unknown token");
    return { token, clientId: "benchmark", scopes: [], expiresAt: 4_102_444_800 };
  },
};

function authenticated(handle) {
  return async (request, response) => {
    try {
      request.auth = await verifyBearerToken(request.headers.authorization, { verifier });
    } catch (error) {
      const refusal = bearerAuthChallengeResponse(error);
      response.writeHead(refusal.status, Object.fromEntries(refusal.headers)).end(await refusal.text());
      return;
    }
    await handle(request, response);
  };
}

const rightHost = localhostHostValidation();
const rightOrigin = localhostOriginValidation();
const serve = options.sessions ? inSessions() : options.stateless ? stateless() : modern();
const handle = options.token === undefined ? serve : authenticated(serve);

const server = createServer((request, response) => {
  if (rightHost(request, response) && rightOrigin(request, response)) void handle(request, response);
});

function versionOf(name) {
  return JSON.parse(readFileSync(join(options.modules, "node_modules", name, "package.json"), "utf8")).version;
}

server.listen(0, "127.0.0.1", 1024, () => {
  const names = ["@modelcontextprotocol/server", "@modelcontextprotocol/node", "zod"];
  const versions = { ...Object.fromEntries(names.map((name) => [name, versionOf(name)])), node: process.versions.node };
  console.log(JSON.stringify({ port: server.address().port, process_id: process.pid, versions }));
});

process.stdin.resume().on("end", () => process.exit(0));
