// @modelcontextprotocol/client: node client.mjs URL MODE, where MODE is `auto` (2026-07-28) or `legacy` (the handshake);
// over stdio: node client.mjs stdio MODE COMMAND ARGUMENT...
// Prints what it found as JSON; test_typescript.py says what is right.
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/package.json", import.meta.url));
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const [url, mode, command, ...args] = process.argv.slice(2);
const found = { asked: [], notices: [], logged: [], progress: [] };

const client = new Client(
  { name: "peer", version: "1" },
  {
    capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} },
    versionNegotiation: { mode },
  },
);
const answers = { "Who are you?": { name: "Ann", people: 3 }, "Sure, Ann?": { value: "yes" } };
client.setRequestHandler("elicitation/create", async (request) => {
  found.asked.push(request.params.message);
  return { action: "accept", content: answers[request.params.message] };
});
client.setRequestHandler("sampling/createMessage", async (request) => {
  found.asked.push("sample");
  return { role: "assistant", content: { type: "text", text: `hello in ${request.params.maxTokens}` }, model: "m" };
});
client.setRequestHandler("roots/list", async () => {
  found.asked.push("roots");
  return { roots: [{ uri: "file:///here" }] };
});
client.setNotificationHandler("notifications/message", (note) => found.logged.push(note.params.data.msg));
const heard = new Map();
for (const method of ["notifications/resources/updated", "notifications/tools/list_changed"]) {
  heard.set(
    method,
    new Promise((resolve) => {
      client.setNotificationHandler(method, () => resolve(method));
    }),
  );
}

await client.connect(
  url === "stdio" ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url)),
);
found.version = client.getNegotiatedProtocolVersion();
found.server = client.getServerVersion().name;

found.tools = (await client.listTools()).tools.map((tool) => tool.name);
found.sum = (await client.callTool({ name: "add", arguments: { a: 1, b: 2 } })).structuredContent;
const failed = await client.callTool({ name: "fails", arguments: {} });
found.failed = [failed.isError, failed.content[0].text];
found.mirrored = [];
for (const region of ["eu-west", "", " blanks ", "Zürich", "=?base64?x?="]) {
  found.mirrored.push((await client.callTool({ name: "mirrored", arguments: { region } })).structuredContent.result);
}

const meta = { "io.modelcontextprotocol/logLevel": "info" };
const counted = await client.callTool(
  { name: "count", arguments: { to: 3 }, ...(mode === "auto" ? { _meta: meta } : {}) },
  { onprogress: (progress) => found.progress.push([progress.progress, progress.total, progress.message]) },
);
found.counted = counted.structuredContent;
found.survey = (await client.callTool({ name: "survey", arguments: {} })).structuredContent;

found.read = (await client.readResource({ uri: "note://mine" })).contents[0].text;
found.prompt = (await client.getPrompt({ name: "greet", arguments: { who: "Ann" } })).messages[0].content.text;
const ref = { type: "ref/prompt", name: "greet" };
found.completed = (await client.complete({ ref, argument: { name: "who", value: "An" } })).completion.values;

const change = () => client.callTool({ name: "change", arguments: {} });
const all = Promise.all(heard.values()).then((methods) => (found.notices = methods.sort()));
if (mode === "auto") {
  const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: ["note://now"] });
  found.honored = subscription.honoredFilter;
  await change();
  await all;
  await subscription.close();
  found.closed = await subscription.closed;
} else {
  await client.subscribeResource({ uri: "note://now" });
  // The client opens its GET stream on the side, and nothing says when it is there: change until it hears.
  const again = setInterval(change, 200);
  await change();
  await all;
  clearInterval(again);
  await client.unsubscribeResource({ uri: "note://now" });
}
await client.close();
console.log(JSON.stringify(found));
