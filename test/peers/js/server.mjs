// A Bayeux server for our client to live with: SERVER is "cometd" or "faye",
// both as their authors wrote them. What they do not have is added from
// outside: replay by id from a buffer, and trouble on demand. Each command is
// one line of JSON, answered by one line with what has been counted.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { env, fail, say, told } from "./lines.mjs";

const require = createRequire(import.meta.url);
const invalid = (id) =>
  `400::The replayId {${id}} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.`;

const kept = []; // all events, for replay; they outlive a restart
const count = { requests: 0, forgotten: 0, cut: 0, upgrades: 0, sessions: 0, handshakes: 0, refused: 0, published: 0 };
const trouble = []; // answers to the next requests instead of the server's
let refuse = false; // the next subscribe that names an id
let storm = false; // sessions are forgotten every 50 requests, every 100th answer is cut
let bayeux; // the server in use
let http;
const sockets = new Set();

const past = (channel, id) => kept.filter((m) => m.channel === channel && id !== -1 && m.data.event.replayId > id);
const wanted = (message) => Object.entries(message?.ext?.replay ?? {});

// doubt says why a subscribe is to be refused, if it is.
function doubt(message) {
  const [, id] = wanted(message).find(([, id]) => id > 0) ?? [];
  if (!refuse || id === undefined) return undefined;
  refuse = false;
  count.refused++;
  return invalid(id);
}

function cometd() {
  const { createCometDServer } = require("cometd-nodejs-server");
  const server = createCometDServer({ timeout: Number(env.HOLD ?? 10_000), sweepPeriod: 500 });
  if (env.ACK) {
    const { AcknowledgedMessagesExtension } = require("cometd-nodejs-server/ack-extension.js");
    server.addExtension(new AcknowledgedMessagesExtension());
  }
  const sessions = new Set();
  const refusals = new Map();
  server.addListener("sessionAdded", (session) => sessions.add(session));
  server.addListener("sessionRemoved", (session) => sessions.delete(session));
  server.addListener("subscribed", (channel, session, message) => {
    for (const [name, id] of wanted(message)) {
      if (name === channel.name) for (const m of past(name, id)) session.deliver(null, name, m.data);
    }
  });
  server.policy = {
    canSubscribe(session, message, channel, callback) {
      const error = doubt(message);
      if (error) refusals.set(message.id, error);
      callback(undefined, !error);
    },
  };
  server.addExtension({
    outgoing(_, sender, session, message, callback) {
      if (message.channel === "/meta/handshake" && message.successful) {
        count.handshakes++;
        message.ext = { ...message.ext, replay: true };
      }
      if (message.channel === "/meta/subscribe" && refusals.has(message.id)) {
        message.error = refusals.get(message.id);
        refusals.delete(message.id);
      }
      callback(undefined, true);
    },
  });
  server.createServerChannel("/service/echo").addListener("message", (session, channel, message, callback) => {
    session.deliver(null, "/service/echo", { echo: message.data });
    callback(undefined, true);
  });
  server.createServerChannel("/**").addListener("message", (session, channel, message, callback) => {
    if (session && message.channel.startsWith("/room/")) count.published++;
    callback(undefined, true);
  });
  const release = (session) => session._scheduler?.resume();
  return {
    attach: (http) => http.on("request", server.handle),
    publish: (m) => server.createServerChannel(m.channel).publish(null, m.data),
    expire() {
      for (const session of [...sessions]) {
        server._removeServerSession(session, true);
        release(session);
      }
    },
    disconnect() {
      for (const session of [...sessions]) {
        session.disconnect();
        release(session);
      }
    },
    sessions: () => sessions.size,
    close: () => server.close(),
  };
}

function faye() {
  const { NodeAdapter } = require("faye");
  const adapter = new NodeAdapter({ mount: "/cometd", timeout: Number(env.HOLD ?? 10_000) / 1000 });
  const engine = adapter._server._engine;
  const clients = new Set();
  const asked = new Map();
  const deliver = (client, message) => {
    const queues = engine._engine._messages;
    if (!queues.has(client)) queues.set(client, []);
    queues.get(client).push(message);
    engine._engine.emptyQueue(client);
  };
  adapter.on("handshake", (client) => clients.add(client));
  adapter.on("disconnect", (client) => clients.delete(client));
  adapter.on("publish", (client, channel) => {
    if (client && channel.startsWith("/room/")) count.published++;
  });
  adapter.on("subscribe", (client, channel) => {
    const id = asked.get(client + channel);
    if (id !== undefined) for (const m of past(channel, id)) deliver(client, { ...m });
  });
  adapter.addExtension({
    incoming(message, callback) {
      if (message.channel === "/meta/subscribe") {
        const error = doubt(message);
        if (error) message.error = error;
        for (const [channel, id] of wanted(message)) asked.set(message.clientId + channel, id);
      }
      callback(message);
    },
    outgoing(message, callback) {
      if (message.channel === "/meta/handshake" && message.successful) {
        count.handshakes++;
        message.ext = { ...message.ext, replay: true };
      }
      callback(message);
    },
  });
  const expire = () => [...clients].forEach((client) => engine.destroyClient(client));
  return {
    attach(http) {
      http.on("request", (req, res) => adapter.handle(req, res));
      http.on("upgrade", (req, socket, head) => {
        if (env.NO_UPGRADE) return socket.end("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
        count.upgrades++;
        adapter.handleUpgrade(req, socket, head);
      });
    },
    publish: (m) => engine.publish({ ...m }),
    expire,
    disconnect() {
      for (const client of clients) deliver(client, { channel: "/meta/disconnect", successful: true });
      setImmediate(expire);
    },
    sessions: () => clients.size,
    close: () => adapter.close(),
  };
}

// cut lets the connection break in the middle of an answer.
function cut(req, res) {
  const { end } = res;
  res.end = (body, ...rest) => {
    if (!body) return end.call(res, body, ...rest);
    count.cut++;
    const half = Buffer.from(body).subarray(0, body.length / 2);
    return res.write(half, () => req.socket.destroy());
  };
}

// start opens the server on port. Requests are counted, and the trouble that is
// due is made, in front of it.
function start(port) {
  bayeux = env.SERVER === "faye" ? faye() : cometd();
  http = createServer();
  bayeux.attach(http);
  const serve = http.listeners("request");
  http.removeAllListeners("request");
  http.on("request", (req, res) => {
    count.requests++;
    const answer = trouble.shift();
    if (storm && count.requests % 50 === 0) {
      count.forgotten++;
      bayeux.expire();
    }
    if (storm && count.requests % 100 === 30) cut(req, res);
    if (!answer) return serve.forEach((listener) => listener(req, res));
    req.resume();
    req.on("end", () => {
      res.writeHead(answer.status, { "Content-Type": answer.type });
      res.end(answer.body);
    });
  });
  http.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  return new Promise((resolve) => http.listen(port, "127.0.0.1", () => resolve(http.address().port)));
}

async function stop() {
  http.close();
  bayeux.close();
  for (const socket of sockets) socket.destroy();
}

let last = 0;
function emit(channel) {
  const at = performance.timeOrigin + performance.now(); // ms, as precise as there is
  const data = { event: { replayId: ++last, type: "created", at }, sobject: { Id: "001", Name: `event ${last}` } };
  kept.push({ channel, data });
  bayeux.publish({ channel, data });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// publish sends n events as fast as the server can, or so many per second, or
// no faster than the client asks for them.
async function publish({ channel, n, every = 100, rate, asked }) {
  const begun = performance.now();
  for (let i = 0; i < n; ) {
    const due = rate ? Math.min(n, Math.floor(((performance.now() - begun) * rate) / 1000)) : Math.min(n, i + every);
    for (; i < due; i++) emit(channel);
    const before = count.requests;
    for (let ms = 0; asked && ms < 50 && count.requests === before; ms++) await pause(1);
    await (rate ? pause(1) : new Promise(setImmediate));
  }
}

const port = await start(0);
say("ready", { url: `http://127.0.0.1:${port}/cometd` });
for (let line = await told(); line !== undefined; line = await told()) {
  const command = JSON.parse(line);
  switch (command.do) {
    case "publish":
      await publish(command);
      break;
    case "expire":
      bayeux.expire();
      break;
    case "disconnect":
      bayeux.disconnect();
      break;
    case "replay":
      refuse = true;
      bayeux.expire();
      break;
    case "http":
      for (let i = 0; i < command.times; i++) trouble.push({ status: command.status, type: command.type, body: command.body });
      break;
    case "restart":
      await stop();
      await pause(command.down);
      await start(port);
      break;
    case "storm":
      storm = command.on;
      break;
    case "cut": // every connection, but no session
      for (const socket of sockets) socket.destroy();
      break;
    case "count":
      break;
    default:
      fail(`unknown command ${line}`);
  }
  count.sessions = bayeux.sessions();
  say("done", count);
}
await stop();
process.exit(); // not when the last held connect would have timed out
