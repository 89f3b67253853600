package web

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hcbridge/internal/status"
)

// collector turns a snapshot of the board into metrics at each scrape, so
// that the numbers of the page and of Prometheus are the same ones.
type collector struct {
	board   *status.Board
	version string
	descs   map[string]*prometheus.Desc
}

type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(o *status.Object) float64
}

// perObject lists the metrics that every mapped object has, labelled object.
func perObject() []metric {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []metric{
		{"hcbridge_events_total", "Stream events received.", counter, func(o *status.Object) float64 { return float64(o.Counters.Events) }},
		{"hcbridge_rows_written_total", "Rows inserted or updated in Postgres from Salesforce.", counter, func(o *status.Object) float64 { return float64(o.Counters.RowsWritten) }},
		{"hcbridge_rows_deleted_total", "Rows deleted in Postgres because Salesforce deleted them.", counter, func(o *status.Object) float64 { return float64(o.Counters.RowsDeleted) }},
		{"hcbridge_rows_unchanged_total", "Changes that found the row as it should be, for example an echo of an own write.", counter, func(o *status.Object) float64 { return float64(o.Counters.RowsUnchanged) }},
		{"hcbridge_read_backs_total", "Records read back from Salesforce by id.", counter, func(o *status.Object) float64 { return float64(o.Counters.ReadBacks) }},
		{"hcbridge_poll_found_total", "Differences that only the poll noticed.", counter, func(o *status.Object) float64 { return float64(o.Counters.PollFound) }},
		{"hcbridge_poll_found_late_total", "Of those, what only the hourly look-back noticed.", counter, func(o *status.Object) float64 { return float64(o.Counters.PollFoundLate) }},
		{"hcbridge_poll_found_drift_total", "Of those, what only the look-back over two days noticed.", counter, func(o *status.Object) float64 { return float64(o.Counters.PollFoundDrift) }},
		{"hcbridge_poll_found_full_total", "Of those, what only a comparison of all records noticed.", counter, func(o *status.Object) float64 { return float64(o.Counters.PollFoundFull) }},
		{"hcbridge_writes_sent_total", "Records written to Salesforce.", counter, func(o *status.Object) float64 { return float64(o.Counters.WritesSent) }},
		{"hcbridge_writes_failed_total", "Writes that Salesforce refused for good.", counter, func(o *status.Object) float64 { return float64(o.Counters.WritesFailed) }},
		{"hcbridge_conflicts_total", "Fields that both sides had changed; see hcbridge.conflict.", counter, func(o *status.Object) float64 { return float64(o.Counters.Conflicts) }},
		{"hcbridge_apply_lag_seconds_sum", "Sum over applied events of the time from change to commit.", counter, func(o *status.Object) float64 { return float64(o.Counters.LagSumMS) / 1000 }},
		{"hcbridge_apply_lag_seconds_count", "Applied events whose time from change to commit is in the sum.", counter, func(o *status.Object) float64 { return float64(o.Counters.LagCount) }},
		{"hcbridge_lag_seconds", "Age of the oldest record known to be stale, else the delay of the newest applied change.", gauge, func(o *status.Object) float64 { return float64(o.LagMS) / 1000 }},
		{"hcbridge_rows_salesforce", "Rows in Salesforce at the last count.", gauge, func(o *status.Object) float64 { return float64(o.RowsSalesforce) }},
		{"hcbridge_rows_postgres", "Rows in Postgres at the last count.", gauge, func(o *status.Object) float64 { return float64(o.RowsPostgres) }},
		{"hcbridge_pending_writes", "Trigger log entries that wait to be sent.", gauge, func(o *status.Object) float64 { return float64(o.PendingWrites) }},
		{"hcbridge_failed_writes", "Trigger log entries that Salesforce refused.", gauge, func(o *status.Object) float64 { return float64(o.FailedWrites) }},
		{"hcbridge_failed_reads", "Records that could not be stored.", gauge, func(o *status.Object) float64 { return float64(o.FailedReads) }},
		{"hcbridge_last_event_timestamp_seconds", "When the newest stream event came.", gauge, func(o *status.Object) float64 { return seconds(o.LastEventAt) }},
		{"hcbridge_last_poll_timestamp_seconds", "When the last poll ended.", gauge, func(o *status.Object) float64 { return seconds(o.LastPollAt) }},
		{"hcbridge_last_write_timestamp_seconds", "When Salesforce last took a write.", gauge, func(o *status.Object) float64 { return seconds(o.LastWriteAt) }},
	}
}

func newCollector(board *status.Board, version string) *collector {
	c := &collector{board: board, version: version, descs: map[string]*prometheus.Desc{}}
	add := func(name, help string, labels ...string) {
		c.descs[name] = prometheus.NewDesc(name, help, labels, nil)
	}
	for _, m := range perObject() {
		add(m.name, m.help, "object")
	}
	add("hcbridge_build_info", "Always 1; the version is the label.", "version")
	add("hcbridge_ready", "1 while both directions flow.")
	add("hcbridge_stopped", "1 for each part that has stopped.", "part")
	add("hcbridge_connection_state", "1 for the connection's present state.", "state")
	add("hcbridge_object_state", "1 for the object's present state.", "object", "state")
	add("hcbridge_api_calls_used", "API calls of the whole org in the last 24 hours.")
	add("hcbridge_api_calls_limit", "The org's daily allowance of API calls.")
	add("hcbridge_api_calls_budget", "How many of them the bridge may use.")
	add("hcbridge_writes_spaced_seconds", "For how long what waits to be sent is kept back, so that the API calls of the day suffice.")
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(name string, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], kind, v, labels...)
	}
	const gauge = prometheus.GaugeValue
	s := c.board.Snapshot()
	send("hcbridge_build_info", gauge, 1, c.version)
	send("hcbridge_connection_state", gauge, 1, s.Connection.State)
	send("hcbridge_api_calls_used", gauge, float64(s.Connection.APICalls.Used))
	send("hcbridge_api_calls_limit", gauge, float64(s.Connection.APICalls.Limit))
	send("hcbridge_api_calls_budget", gauge, float64(s.Connection.APICalls.Budget))
	send("hcbridge_writes_spaced_seconds", gauge, s.Connection.WritesSpaced.Seconds())
	ready, stops := c.board.Ready()
	send("hcbridge_ready", gauge, map[bool]float64{true: 1}[ready])
	for _, stop := range stops {
		send("hcbridge_stopped", gauge, 1, stop.Part)
	}
	for i := range s.Objects {
		o := &s.Objects[i]
		send("hcbridge_object_state", gauge, 1, o.Object, o.State)
		for _, m := range perObject() {
			send(m.name, m.kind, m.value(o), o.Object)
		}
	}
}

func seconds(t *time.Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
