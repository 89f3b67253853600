// Package bulk is Bulk API 2.0 of a simulated Salesforce org: query jobs and
// ingest jobs over the records of package sobject.
//
// It is written from the "Bulk API 2.0 and Bulk API Developer Guide" and from
// recorded answers only.
//
//	query   POST ─▶ UploadComplete ─▶ InProgress ─▶ JobComplete ─▶ results, page by page
//	ingest  POST ─▶ Open ─ PUT ─ PATCH ─▶ UploadComplete ─▶ InProgress ─▶ JobComplete
//	                                 │                          │      └─▶ successful, failed,
//	                                 ▼                          ▼          unprocessed rows
//	                              Aborted                     Failed
//
// # Delivery
//
// A query runs against one snapshot of the org and writes its rows to a buffer
// that moves to an unlinked temporary file when it grows, so a million rows
// need no memory. Pages are cut by row number and can be read again as long as
// the job exists.
//
// An ingest job commits 200 rows at a time, each chunk a transaction of its
// own with origin "bulk" in which a bad row does not spoil the others. So a
// job is neither atomic nor ordered, and JobComplete says nothing about rows.
//
// # Errors
//
// Refused requests answer with the REST error array. What is wrong with the
// data ends the job as Failed; what is wrong with a row is text in the failed
// results.
//
// # Concurrency
//
// Everything exported is safe for concurrent use. A job runs on a goroutine of
// its own; [Server.Close] ends them and waits.
package bulk
