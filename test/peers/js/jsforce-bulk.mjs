// jsforce over Bulk API 2.0: a query of all accounts, ingest of every kind.
import { env, say } from "./lines.mjs";
import { bySoap } from "./session.mjs";

const { conn } = await bySoap();
conn.bulk2.pollInterval = 20;
conn.bulk2.pollTimeout = 30000;

async function all(soql, options) {
  const stream = await conn.bulk2.query(soql, options);
  return await new Promise((resolve, reject) => {
    const rows = [];
    stream.on("record", (r) => rows.push(r));
    stream.on("error", reject);
    stream.on("end", () => resolve(rows));
  });
}

const rows = await all("SELECT Id, Name, Industry, CreatedDate FROM Account");
say("query", { rows: rows.length, distinct: new Set(rows.map((r) => r.Id)).size, sample: rows.find((r) => r.Name === env.SAMPLE) });

const run = (operation, input, more = {}) => conn.bulk2.loadAndWaitForResults({ object: "Invoice__c", operation, input, ...more });
const inserted = await run("insert", [
  { External_Id__c: "b1" }, { External_Id__c: 'b "2"' }, { External_Id__c: "b1" },
]);
say("insert", { good: inserted.successfulResults.map((r) => [r.External_Id__c, r.sf__Created]), bad: inserted.failedResults.map((r) => [r.External_Id__c, r.sf__Error]), rest: inserted.unprocessedRecords.length });
const upserted = await run("upsert", [{ External_Id__c: "b1" }, { External_Id__c: "b3" }], { externalIdFieldName: "External_Id__c" });
say("upsert", { created: Object.fromEntries(upserted.successfulResults.map((r) => [r.External_Id__c, r.sf__Created])) });
const ids = (await all("SELECT Id FROM Invoice__c WHERE External_Id__c = 'b1'")).map((r) => ({ Id: r.Id }));
const removed = await run("delete", ids);
const left = await all("SELECT External_Id__c FROM Invoice__c ORDER BY External_Id__c");
const withDeleted = await all("SELECT Id FROM Invoice__c", { scanAll: true });
say("delete", { removed: removed.successfulResults.length, left: left.map((r) => r.External_Id__c), all: withDeleted.length });
const failed = conn.bulk2.createJob({ operation: "insert", object: "Invoice__c", lineEnding: "CRLF" });
await failed.open();
await failed.uploadData("External_Id__c\nb9\n");
await failed.close();
try {
  await failed.poll(20, 30000);
  say("ending", { state: (await failed.check()).state });
} catch (e) {
  say("ending", { error: e.message });
}
