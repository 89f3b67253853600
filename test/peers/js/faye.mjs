// The faye client, which jsforce wraps: one channel from one replay id. After a
// lost session it goes on from the last event, which an extension remembers.
// When the org refuses its credentials it stops; each command is the next
// Authorization header, with which a new client continues.
import { createRequire } from "node:module";
import { env, say, told } from "./lines.mjs";

const { Client } = createRequire(import.meta.url)("faye");
const channel = env.CHANNEL;
let last = Number(env.REPLAY);
const handshakes = { good: 0, errors: {} };

const replay = {
  incoming(message, callback) {
    if (message.channel === channel) last = message.data.event.replayId;
    callback(message);
  },
  outgoing(message, callback) {
    if (message.channel === "/meta/subscribe") message.ext = { ...message.ext, replay: { [message.subscription]: last } };
    callback(message);
  },
};

const watch = {
  incoming(message, callback) {
    const { channel, successful, error, advice, ext } = message;
    if (channel === "/meta/handshake" && successful && ext?.replay) handshakes.good++;
    if (successful === false) handshakes.errors[error] = (handshakes.errors[error] ?? 0) + 1;
    if (successful === false && advice?.reconnect === "none") say("refused", { channel, error, reason: ext?.sfdc?.failureReason });
    callback(message);
  },
};

let client;
for (let header = env.AUTHORIZATION; header !== undefined; header = await told()) {
  client = new Client(env.ORG_URL + "/cometd/66.0");
  client.setHeader("Authorization", header);
  client.addExtension(replay);
  client.addExtension(watch);
  client.subscribe(channel, (data) => say("event", { data }));
}
await client.disconnect();
say("disconnect", handshakes);
process.exit(0);
