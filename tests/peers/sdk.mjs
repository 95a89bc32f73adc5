// @modelcontextprotocol/sdk, the older one: node sdk.mjs URL TRANSPORT, where TRANSPORT is `http` or `sse`; over stdio:
// node sdk.mjs stdio stdio COMMAND ARGUMENT...
// Prints what it found as JSON; test_typescript.py says what is right.
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/package.json", import.meta.url));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { SSEClientTransport } = require("@modelcontextprotocol/sdk/client/sse.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} = require("@modelcontextprotocol/sdk/types.js");

const [url, kind, command, ...args] = process.argv.slice(2);
const found = { asked: [], notices: [], logged: [], progress: [] };

const client = new Client(
  { name: "peer", version: "1" },
  { capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} } },
);
const answers = { "Who are you?": { name: "Ann", people: 3 }, "Sure, Ann?": { value: "yes" } };
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  found.asked.push(request.params.message);
  return { action: "accept", content: answers[request.params.message] };
});
client.setRequestHandler(CreateMessageRequestSchema, async (request) => {
  found.asked.push("sample");
  return { role: "assistant", content: { type: "text", text: `hello in ${request.params.maxTokens}` }, model: "m" };
});
client.setRequestHandler(ListRootsRequestSchema, async () => {
  found.asked.push("roots");
  return { roots: [{ uri: "file:///here" }] };
});
client.setNotificationHandler(LoggingMessageNotificationSchema, (note) => found.logged.push(note.params.data.msg));
const heard = [ResourceUpdatedNotificationSchema, ToolListChangedNotificationSchema].map(
  (schema) => new Promise((resolve) => client.setNotificationHandler(schema, (note) => resolve(note.method))),
);

const transports = {
  http: () => new StreamableHTTPClientTransport(new URL(url)),
  sse: () => new SSEClientTransport(new URL(url)),
  stdio: () => new StdioClientTransport({ command, args }),
};
const transport = transports[kind]();
await client.connect(transport);
found.version = transport.protocolVersion ?? null;
found.server = client.getServerVersion().name;

found.tools = (await client.listTools()).tools.map((tool) => tool.name);
found.sum = (await client.callTool({ name: "add", arguments: { a: 1, b: 2 } })).structuredContent;
const failed = await client.callTool({ name: "fails", arguments: {} });
found.failed = [failed.isError, failed.content[0].text];

await client.setLoggingLevel("info");
const counted = await client.callTool({ name: "count", arguments: { to: 3 } }, undefined, {
  onprogress: (progress) => found.progress.push([progress.progress, progress.total, progress.message]),
});
found.counted = counted.structuredContent;
found.survey = (await client.callTool({ name: "survey", arguments: {} })).structuredContent;

found.read = (await client.readResource({ uri: "note://mine" })).contents[0].text;
found.prompt = (await client.getPrompt({ name: "greet", arguments: { who: "Ann" } })).messages[0].content.text;
const ref = { type: "ref/prompt", name: "greet" };
found.completed = (await client.complete({ ref, argument: { name: "who", value: "An" } })).completion.values;

await client.subscribeResource({ uri: "note://now" });
const change = () => client.callTool({ name: "change", arguments: {} });
// The client opens its GET stream on the side, and nothing says when it is there: change until it hears.
const again = setInterval(change, 200);
await change();
found.notices = (await Promise.all(heard)).sort();
clearInterval(again);
await client.unsubscribeResource({ uri: "note://now" });

if (kind === "http") {
  await transport.terminateSession();
  found.ended = transport.sessionId === undefined;
}
await client.close();
console.log(JSON.stringify(found));
