package control

// Help is the answer to GET /_org/; URL stands for the base URL.
const Help = `A simulated Salesforce org. What can be done to it:

records, as another user of the org (PushTopics notify)
  curl -X POST   URL/_org/records/Account -d '{"Name":"Acme","Phone":"+1 555 0100"}'
  curl           URL/_org/records/Account/001...
  curl -X PATCH  URL/_org/records/Account/001... -d '{"Phone":null}'
  curl -X DELETE URL/_org/records/Account/001...
  curl -X POST   URL/_org/undelete/Account/001...
  curl -X POST   URL/_org/purge/Account/001...
  curl -X POST   URL/_org/merge/Account/001... -d '{"losers":["001..."]}'

faults: the first rule that matches a request spoils it
  verb    reject | fail_after_write | hold | slow | html | redirect | cut | garble | drop
  path    regular expression on path and query      method, match (on the body)
  status, body    of the answer                     delay  "2s", with slow
  times   how many requests, 0 = all                after  how many pass first
  before  hold and slow wait before the work is done, not after
  curl -X POST   URL/_org/faults -d '{"verb":"reject","path":"/query","status":503,"times":3}'
  curl -X POST   URL/_org/faults -d '{"verb":"fail_after_write","method":"POST","path":"/composite/sobjects","times":1}'
  curl -X POST   URL/_org/faults -d '{"verb":"slow","path":"/sobjects/Account","delay":"2s"}'
  curl           URL/_org/faults
  curl -X DELETE URL/_org/faults                    (held answers go)

streaming
  curl -X POST   URL/_org/forget                    sessions are lost: 403::Unknown client
  curl -X POST   URL/_org/expire-replay             stored events are gone: old replay ids are refused
  curl -X POST   URL/_org/mute                      events are not delivered, only stored; -d '{"on":false}' ends it
  curl -X POST   URL/_org/deny-pushtopics           no permission on PushTopic; -d '{"on":false}' ends it
  curl -X POST   URL/_org/topic-limit -d '{"limit":2}'

change data capture
  curl -X POST   URL/_org/cdc/select -d '{"objects":["Account","Invoice__c"]}'   as in Setup, at most five
  curl -X POST   URL/_org/cdc/gap -d '{"object":"Account"}'   changes come as GAP_ events; "on":false ends it
  curl -X POST   URL/_org/cdc/convert -d '{"object":"Account"}'   a gap event for all records
  curl -X POST   URL/_org/cdc/overflow-above -d '{"limit":10}'   changes of a transaction that have events, then GAP_OVERFLOW

access
  curl -X POST   URL/_org/revoke-tokens             401 for all sessions
  curl -X POST   URL/_org/daily-limit -d '{"limit":100}'
  curl -X POST   URL/_org/expire-locators           open query cursors are gone
  curl -X POST   URL/_org/hide-field -d '{"object":"Account","field":"Phone"}'   "on":false shows it again
  curl -X POST   URL/_org/hide-record -d '{"object":"Contact","id":"003..."}'   no longer shared; "on":false shares it again

  curl -X POST   URL/_org/deny-object -d '{"object":"Contact"}'                  no permission on it, as if deleted; "on":false gives it back

schema
  curl -X POST   URL/_org/add-field -d '{"object":"Account","field":"Extra__c","type":"string","length":40}'
  curl -X POST   URL/_org/remove-field -d '{"object":"Account","field":"Extra__c"}'
  curl -X POST   URL/_org/change-field -d '{"object":"Account","field":"Extra__c","name":"Other__c","length":80}'   or "type"

looking
  curl           URL/_org/state                     record counts, calls, writes, streaming clients, faults
  curl           URL/_org/requests                  the newest requests
  curl           URL/_org/truth?objects=Account     all records, deleted ones too, and all changes since the first such call
`
