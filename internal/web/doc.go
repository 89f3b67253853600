// Package web serves the status page, the mapping page, the JSON API, health and
// metrics.
//
//	GET /                     the status page
//	GET /live                 its parts, sent again as they change (server-sent events)
//	GET, POST /mapping        what a choice of objects and fields makes; ?object=NAME looks at one, ?q=… searches
//	POST /mapping/env         the environment block of a choice, as a file
//	POST /mapping/file        the mapping file of a choice
//	GET /api/status           what `hcbridge status --json` prints
//	GET /api/objects[/NAME]   the objects, or one of them
//	GET /api/errors           failed writes and failed reads
//	POST /api/errors/retry    sends or reads again what a form names: id=…, or all=1
//	POST /api/errors/ignore   dismisses it
//	GET /healthz              200 while the process lives
//	GET /readyz               200 while both directions flow, else 503 and why
//	GET /metrics              Prometheus
//
// # Access
//
// Health and metrics are open: they tell counts, never values. On a loopback
// address the page and the API are open too, but only under a loopback host
// name, so that a page elsewhere cannot reach them by DNS rebinding. On any
// other address they want the token, as a bearer token or as the password of
// HTTP Basic (which browsers ask for); without a token configured they stay
// shut. What acts wants the token everywhere, and no request of another site's
// page, whatever credentials the browser adds.
//
// # The mapping page
//
// It changes nothing, and the server keeps nothing of it: all that has been
// chosen travels in its form, as the environment block that it makes ([Choice]).
// [Plan] works out the rest. The script only sends the form for the person who
// fills it in, and puts in the parts of the page that have become others; without
// it the buttons do the same.
//
// # Errors
//
// [Server.Run] returns an error when the address cannot be listened on.
//
// # Concurrency
//
// The handlers only read the board and ask [Errors] and [Plan], and may run in
// any number at once.
package web
