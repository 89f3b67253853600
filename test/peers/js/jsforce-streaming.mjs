// jsforce over the Streaming API: a PushTopic of its own, read from the start
// and then once more from the middle.
import jsforce from "jsforce";
import { env, fail, say } from "./lines.mjs";
import { byOAuth } from "./session.mjs";

import streaming from "jsforce/lib/api/streaming.js";

const { StreamingExtension } = streaming;
const { conn } = await byOAuth();
const topic = await conn.sobject("PushTopic").create({
  Name: env.TOPIC, Query: "SELECT Id, Name, Industry FROM Account", ApiVersion: 66.0, NotifyForFields: "All",
  NotifyForOperationCreate: true, NotifyForOperationUpdate: true, NotifyForOperationDelete: true, NotifyForOperationUndelete: true,
});
say("topic", { ok: topic.success, prefix: topic.id.slice(0, 3) });

const channel = "/topic/" + env.TOPIC;
// listen collects n events from a replay id.
function listen(from, n) {
  return new Promise((resolve) => {
    const seen = [];
    const client = conn.streaming.createClient([
      new StreamingExtension.Replay(channel, from),
      new StreamingExtension.AuthFailure((m) => fail(JSON.stringify(m))),
    ]);
    const sub = client.subscribe(channel, (m) => {
      seen.push({ type: m.event.type, replay: m.event.replayId, sobject: m.sobject });
      if (seen.length === n) {
        sub.cancel();
        client.disconnect();
        resolve(seen);
      }
    });
    sub.then(undefined, fail);
  });
}

const live = listen(-2, 4);
const { id } = await conn.sobject("Account").create({ Name: "s1", Industry: "Energy" });
await conn.sobject("Account").update({ Id: id, Industry: null });
await conn.sobject("Account").update({ Id: id, Name: "s2" });
await conn.sobject("Account").destroy(id);
const events = await live;
say("events", { id, events });
say("resumed", { events: await listen(events[1].replay, 2) });
say("again", { events: await listen(-2, 4) });
process.exit(0);
