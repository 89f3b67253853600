// A third-party client to be measured: CLIENT is "cometd", "faye" or "jsforce".
// Each command is the number of events to come; the answer is what they cost.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { env, fail, say, told } from "./lines.mjs";

const require = createRequire(import.meta.url);
let want = Infinity;
let got = 0;
let last = 0;
let wrong = 0;
let done;
let waits = [];

function event(message) {
  const { replayId, at } = message.event;
  waits.push(performance.timeOrigin + performance.now() - at);
  if (replayId <= last) wrong++;
  last = Math.max(last, replayId);
  if (++got === want) done();
}

async function subscribe() {
  if (env.CLIENT === "faye") {
    const { Client } = require("faye");
    const client = new Client(env.URL);
    await client.subscribe(env.CHANNEL, event);
    return () => client.disconnect();
  }
  if (env.CLIENT === "jsforce") {
    const jsforce = require("jsforce");
    require("jsforce/lib/api/streaming");
    const conn = new jsforce.Connection({ instanceUrl: new URL(env.URL).origin, accessToken: "token", version: "66.0" });
    const client = conn.streaming.createClient([]);
    await client.subscribe(env.CHANNEL, event);
    return () => client.disconnect();
  }
  const { adapt } = await import("cometd-nodejs-client");
  adapt();
  window.console = console; // which is stderr
  const { CometD } = await import("cometd");
  const client = new CometD();
  client.configure({ url: env.URL, appendMessageTypeToURL: false, logLevel: "warn" });
  client.unregisterTransport("websocket");
  await new Promise((resolve, reject) => client.handshake((h) => (h.successful ? resolve() : reject(new Error(h.error)))));
  await new Promise((resolve) => client.subscribe(env.CHANNEL, (m) => event(m.data), resolve));
  return () => client.disconnect();
}

// files counts open descriptors, where the system tells.
function files() {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

const stop = await subscribe();
say("ready");
for (let line = await told(); line !== undefined; line = await told()) {
  want = Number(line);
  got = wrong = 0;
  waits = [];
  const all = new Promise((resolve) => (done = resolve));
  const open = files();
  const cpu = process.cpuUsage();
  const begun = performance.now();
  say("armed");
  await all;
  const used = process.cpuUsage(cpu);
  const seconds = (performance.now() - begun) / 1000;
  waits.sort((a, b) => a - b);
  say("result", {
    cpu: (used.user + used.system) / want,
    seconds,
    wrong,
    files: files() - open,
    p50: waits[Math.floor(want * 0.5)],
    p99: waits[Math.floor(want * 0.99)],
  });
}
stop();
setTimeout(() => process.exit(), 100);
