package web

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hcbridge/internal/status"
)

// collector turns a snapshot of the board into metrics at each scrape, so
// that the numbers of the page and of Prometheus are the same ones. What is not
// known yet is left out: a 0 in its place would be an alert, or hide one. No
// label has a value of a record.
type collector struct {
	board   *status.Board
	version string
	descs   map[string]*prometheus.Desc
}

type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(o *status.Object) (v float64, known bool)
}

const lagSummary = "hcbridge_apply_lag_seconds"

// perObject lists the metrics that every mapped object has, labelled object.
func perObject() []metric {
	counter := func(name, help string, of func(c *status.Counters) int64) metric {
		return metric{name, help, prometheus.CounterValue, func(o *status.Object) (float64, bool) { return float64(of(&o.Counters)), true }}
	}
	count := func(name, help string, of func(o *status.Object) int64) metric {
		return metric{name, help, prometheus.GaugeValue, func(o *status.Object) (float64, bool) { return float64(of(o)), of(o) >= 0 }}
	}
	when := func(name, help string, of func(o *status.Object) *time.Time) metric {
		return metric{name, help, prometheus.GaugeValue, func(o *status.Object) (float64, bool) {
			if t := of(o); t != nil {
				return float64(t.UnixMilli()) / 1000, true
			}
			return 0, false
		}}
	}
	return []metric{
		counter("hcbridge_events_total", "Stream events received.", func(c *status.Counters) int64 { return c.Events }),
		counter("hcbridge_rows_written_total", "Rows inserted or updated in Postgres from Salesforce.", func(c *status.Counters) int64 { return c.RowsWritten }),
		counter("hcbridge_rows_deleted_total", "Rows deleted in Postgres because Salesforce deleted them.", func(c *status.Counters) int64 { return c.RowsDeleted }),
		counter("hcbridge_rows_unchanged_total", "Changes that found the row as it should be, for example an echo of an own write.", func(c *status.Counters) int64 { return c.RowsUnchanged }),
		counter("hcbridge_read_backs_total", "Records read back from Salesforce by id.", func(c *status.Counters) int64 { return c.ReadBacks }),
		counter("hcbridge_poll_found_total", "Differences that only the poll noticed.", func(c *status.Counters) int64 { return c.PollFound }),
		counter("hcbridge_poll_found_late_total", "Of what only the poll noticed, what needed the look-back over an hour.", func(c *status.Counters) int64 { return c.PollFoundLate }),
		counter("hcbridge_poll_found_drift_total", "Of what only the poll noticed, what needed the look-back over two days.", func(c *status.Counters) int64 { return c.PollFoundDrift }),
		counter("hcbridge_poll_found_full_total", "Of what only the poll noticed, what needed a comparison of all records.", func(c *status.Counters) int64 { return c.PollFoundFull }),
		counter("hcbridge_writes_sent_total", "Records written to Salesforce.", func(c *status.Counters) int64 { return c.WritesSent }),
		counter("hcbridge_writes_failed_total", "Writes that Salesforce refused for good.", func(c *status.Counters) int64 { return c.WritesFailed }),
		counter("hcbridge_conflicts_total", "Fields that both sides had changed; see hcbridge.conflict.", func(c *status.Counters) int64 { return c.Conflicts }),
		{"hcbridge_lag_seconds", "Age of the oldest record known to be stale, else the delay of the newest applied change.", prometheus.GaugeValue, func(o *status.Object) (float64, bool) { return float64(o.LagMS) / 1000, true }},
		{"hcbridge_stale_seconds", "Age of the oldest record known to be stale, 0 if none is.", prometheus.GaugeValue, func(o *status.Object) (float64, bool) { return float64(o.StaleMS) / 1000, true }},
		count("hcbridge_rows_salesforce", "Rows in Salesforce at the last count.", func(o *status.Object) int64 { return o.RowsSalesforce }),
		count("hcbridge_rows_postgres", "Rows in Postgres at the last count.", func(o *status.Object) int64 { return o.RowsPostgres }),
		count("hcbridge_pending_writes", "Trigger log entries that wait to be sent.", func(o *status.Object) int64 { return o.PendingWrites }),
		when("hcbridge_oldest_pending_write_timestamp_seconds", "When the oldest pending write was captured; left out while none is pending.", func(o *status.Object) *time.Time { return o.PendingSince }),
		count("hcbridge_failed_writes", "Trigger log entries that Salesforce refused.", func(o *status.Object) int64 { return o.FailedWrites }),
		count("hcbridge_failed_reads", "Records that could not be stored.", func(o *status.Object) int64 { return o.FailedReads }),
		when("hcbridge_last_event_timestamp_seconds", "When the newest stream event came.", func(o *status.Object) *time.Time { return o.LastEventAt }),
		when("hcbridge_last_poll_timestamp_seconds", "When the last poll ended.", func(o *status.Object) *time.Time { return o.LastPollAt }),
		when("hcbridge_last_write_timestamp_seconds", "When Salesforce last took a write.", func(o *status.Object) *time.Time { return o.LastWriteAt }),
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
	add(lagSummary, "Time from a change in Salesforce to the commit of its row, of applied events.", "object")
	add("hcbridge_object_state", "1 for the object's present state.", "object", "state")
	add("hcbridge_build_info", "Always 1; the version is the label.", "version")
	add("hcbridge_active", "1 while this process works, 0 while it stands by.")
	add("hcbridge_ready", "1 while both directions flow, or this process stands by.")
	add("hcbridge_stopped", "1 for each part that has stopped.", "part")
	add("hcbridge_connection_state", "1 for the connection's present state.", "state")
	add("hcbridge_api_calls_used", "API calls of the whole org in the last 24 hours.")
	add("hcbridge_api_calls_limit", "The org's daily allowance of API calls.")
	add("hcbridge_api_calls_left", "What the org has left of its daily allowance of API calls.")
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
	one := map[bool]float64{true: 1}
	s := c.board.Snapshot()
	ready, stops := c.board.Ready()
	send("hcbridge_build_info", gauge, 1, c.version)
	send("hcbridge_active", gauge, one[s.Connection.Role == "active"])
	send("hcbridge_ready", gauge, one[ready])
	for _, stop := range stops {
		send("hcbridge_stopped", gauge, 1, stop.Part)
	}
	send("hcbridge_connection_state", gauge, 1, s.Connection.State)
	if calls := s.Connection.APICalls; calls.Limit > 0 {
		send("hcbridge_api_calls_used", gauge, float64(calls.Used))
		send("hcbridge_api_calls_limit", gauge, float64(calls.Limit))
		send("hcbridge_api_calls_left", gauge, float64(max(0, calls.Limit-calls.Used)))
		send("hcbridge_api_calls_budget", gauge, float64(calls.Budget))
	}
	send("hcbridge_writes_spaced_seconds", gauge, s.Connection.WritesSpaced.Seconds())
	for i := range s.Objects {
		o := &s.Objects[i]
		send("hcbridge_object_state", gauge, 1, o.Object, o.State)
		ch <- prometheus.MustNewConstSummary(c.descs[lagSummary], uint64(max(o.Counters.LagCount, 0)), float64(o.Counters.LagSumMS)/1000, nil, o.Object)
		for _, m := range perObject() {
			if v, known := m.value(o); known {
				send(m.name, m.kind, v, o.Object)
			}
		}
	}
}
