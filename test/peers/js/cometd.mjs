// The reference client of the CometD project: one channel from one replay id,
// until it is told to stop. After a lost session it goes on from the last event,
// as its documentation asks: subscriptions are made in the handshake listener.
import { env, fail, say, told } from "./lines.mjs";
import { adapt } from "cometd-nodejs-client";
import { CometD } from "cometd";

adapt();
const log = console.error;
window.console = { log, info: log, debug: log, warn: log, error: log };

const cometd = new CometD();
cometd.configure({
  url: env.ORG_URL + "/cometd/66.0",
  requestHeaders: { Authorization: "Bearer " + env.TOKEN },
  appendMessageTypeToURL: false,
  logLevel: "warn",
});
cometd.unregisterTransport("websocket");

const channel = env.CHANNEL;
let last = Number(env.REPLAY);
function event(m) {
  last = m.data.event.replayId;
  say("event", { data: m.data });
}

cometd.addListener("/meta/handshake", (m) => {
  say("handshake", { ok: m.successful, replay: m.ext?.replay });
  if (!m.successful) return fail(JSON.stringify(m));
  cometd.subscribe(channel, event, { ext: { replay: { [channel]: last } } }, (m) => {
    if (!m.successful) fail(JSON.stringify(m));
  });
});
let leaving = false; // a poll that crosses the disconnect finds no session
cometd.addListener("/meta/connect", (m) => {
  if (!m.successful && !leaving) say("connect", { error: m.error });
});
cometd.handshake();

await told();
leaving = true;
cometd.disconnect((m) => {
  say("disconnect", { ok: m.successful });
  setTimeout(() => process.exit(0), 50);
});
