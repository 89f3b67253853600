// jsforce over REST: logins, metadata, queries, single records, collections.
import { say, told } from "./lines.mjs";
import jsforce from "jsforce";
import { byOAuth, bySoap, version } from "./session.mjs";

const { conn, user } = await byOAuth();
say("oauth", { id: user.id, org: user.organizationId });
const soap = await bySoap();
const who = await soap.conn.query("SELECT Id, Username FROM User WHERE Id = '" + soap.user.id + "'");
say("soap", { id: soap.user.id, org: soap.user.organizationId, name: who.records[0].Username });

const described = await conn.sobject("Invoice__c").describe();
const global = await conn.describeGlobal();
say("describe", {
  external: described.fields.filter((f) => f.externalId).map((f) => f.name),
  global: global.sobjects.some((o) => o.name === "Account"),
  versions: (await conn.request("/services/data/")).some((v) => v.version === "66.0"),
});

const names = [];
let pages = 0;
let page = await conn.query("SELECT Id, Name, Owner.Username FROM Account ORDER BY Name");
for (;;) {
  pages++;
  names.push(...page.records.map((r) => r.Name));
  if (page.done) break;
  page = await conn.queryMore(page.nextRecordsUrl);
}
say("query", { total: page.totalSize, pages, rows: names.length, first: names[0], last: names.at(-1), sorted: names.every((n, i) => i === 0 || names[i - 1] <= n) });
const found = await conn.sobject("Account").find({ Name: { $like: "peer-000%" } }, "Id, Name").sort({ Name: -1 }).limit(3);
say("find", { names: found.map((r) => r.Name) });
try {
  await conn.query("SELECT Nope FROM Account");
} catch (e) {
  say("refused", { code: e.errorCode, message: e.message });
}

const account = await conn.sobject("Account").create({ Name: "made by jsforce", Industry: "Energy" });
await conn.sobject("Account").update({ Id: account.id, Name: "renamed" });
const invoice = { External_Id__c: "j-1", Account__c: account.id };
const first = await conn.sobject("Invoice__c").upsert(invoice, "External_Id__c");
const second = await conn.sobject("Invoice__c").upsert(invoice, "External_Id__c");
const read = await conn.sobject("Invoice__c").retrieve(first.id);
const removed = await conn.sobject("Invoice__c").destroy(first.id);
say("single", { account: account.id, created: [first.created, second.created], same: first.id === second.id, external: read.External_Id__c, parent: read.Account__c === account.id, removed: removed.success });
try {
  await conn.sobject("Account").create({ Industry: "Energy" });
} catch (e) {
  say("invalid", { code: e.errorCode ?? e.name, message: e.message });
}

const people = Array.from({ length: 250 }, (_, i) => ({ LastName: "P" + String(i).padStart(3, "0"), AccountId: account.id }));
people[7] = { FirstName: "nobody" };
const made = await conn.sobject("Contact").create(people, { allOrNone: false, allowRecursive: true });
const good = made.filter((r) => r.success);
const changed = await conn.sobject("Contact").update(good.map((r) => ({ Id: r.id, FirstName: "F" })), { allowRecursive: true });
const upserted = await conn.sobject("Invoice__c").upsert(["c1", "c2"].map((k) => ({ External_Id__c: k })), "External_Id__c");
const gone = await conn.sobject("Contact").destroy(good.slice(0, 50).map((r) => r.id), { allowRecursive: true });
const left = await conn.query("SELECT COUNT() FROM Contact WHERE FirstName = 'F'");
say("collections", {
  failed: made.map((r, i) => [i, r]).filter(([, r]) => !r.success).map(([i, r]) => [i, r.errors[0].statusCode]),
  changed: changed.filter((r) => r.success).length, upserted: upserted.filter((r) => r.success && r.created).length,
  gone: gone.filter((r) => r.success).length, left: left.totalSize,
});

await told(); // the minute of the deletes is over
const now = Date.now();
const deleted = await conn.sobject("Contact").deleted(new Date(now - 3600e3), new Date(now + 3600e3));
say("replication", { deleted: deleted.deletedRecords.length });
const limits = await conn.limits();
say("limits", { max: limits.DailyApiRequests.Max, used: conn.limitInfo?.apiUsage?.used > 0 });
const { accessToken, instanceUrl } = conn;
await conn.logout();
try {
  await new jsforce.Connection({ accessToken, instanceUrl, version }).query("SELECT Id FROM Account LIMIT 1");
} catch (e) {
  say("logout", { code: e.errorCode });
}
