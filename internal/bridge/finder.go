package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/pgsink"
)

const (
	// clockSpare is how much earlier than it was sent a record is looked for. The
	// time of sending is known by Salesforce's clock, to a second.
	clockSpare = time.Minute
	// stampSpare is by how much the time of a change may be off, of which Salesforce tells
	// the second, as of the time that it is now.
	stampSpare = 2 * time.Second
	// keysPerQuery is how many external ids one query asks for.
	keysPerQuery = 200
	// noID stands for the id of a record that has none yet.
	noID = "000000000000000AAA"
)

// finder looks in Salesforce for what became of requests that were not answered.
type finder struct{ s *session }

var _ outbox.Finder = finder{}

// Find implements outbox.Finder. It asks for everything that our user has made
// since, and compares here: Salesforce trims and rounds what it stores, compares
// texts without regard to case, and does not filter by every field.
func (f finder) Find(ctx context.Context, object, externalID string, attempts []outbox.Attempt) ([]outbox.Candidate, error) {
	o := f.s.objectNamed(object)
	if o == nil || f.s.userID == "" || !o.authors {
		return nil, &outbox.Failure{Class: outbox.Permanent, Message: object + " does not tell who has made a record"}
	}
	c, err := newComparer(o.mapping, attempts, externalID)
	if err != nil {
		return nil, err
	}
	var oldest time.Duration
	for _, a := range attempts {
		oldest = max(oldest, a.Age)
	}
	now := f.s.sf.ServerTime()
	gain, err := f.s.clockGain(ctx, now, oldest)
	if err != nil {
		return nil, err
	}
	spare := clockSpare + gain
	since := now.Add(-oldest - spare)
	soql := fmt.Sprintf("SELECT %s FROM %s WHERE CreatedById = '%s' AND CreatedDate >= %s",
		strings.Join(c.fields(), ", "), object, f.s.userID, since.UTC().Format("2006-01-02T15:04:05Z"))
	queries := []string{soql}
	if externalID != "" {
		queries = nil
		for keys := range slices.Chunk(c.keys(), keysPerQuery) {
			queries = append(queries, fmt.Sprintf("%s AND %s IN (%s)", soql, externalID, strings.Join(keys, ", ")))
		}
	}
	var found []outbox.Candidate
	for _, q := range queries {
		page, err := f.s.sf.Query(ctx, q, salesforce.QueryOpts{All: true})
		for ; page != nil && err == nil; page, err = f.s.sf.Next(ctx, page) {
			for _, record := range page.Records {
				candidate, err := c.compare(record, now.Add(-spare))
				if err != nil {
					return nil, err
				}
				found = append(found, candidate)
			}
		}
		f.s.salesforce(err)
		if err != nil {
			return nil, failure(err)
		}
	}
	return found, nil
}

// Compare implements outbox.Finder.
func (f finder) Compare(ctx context.Context, object string, values []outbox.Successive) ([]outbox.Standing, error) {
	list := make([]outbox.Standing, len(values))
	o := f.s.objectNamed(object)
	if o == nil || f.s.userID == "" || !o.authors {
		return list, nil
	}
	first, now := make([]outbox.Attempt, len(values)), make([]outbox.Attempt, len(values))
	at := map[string][]int{} // values, by id
	for i, v := range values {
		first[i].Fields, now[i].Fields = v.First, v.Now
		at[v.SFID] = append(at[v.SFID], i)
	}
	before, err := newComparer(o.mapping, first, "")
	if err != nil {
		return nil, err
	}
	after, err := newComparer(o.mapping, now, "")
	if err != nil {
		return nil, err
	}
	fields := append(before.fields(), "LastModifiedById", "LastModifiedDate")
	for _, name := range after.fields() {
		if !slices.Contains(fields, name) {
			fields = append(fields, name)
		}
	}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(at)), keysPerQuery) {
		clock := f.s.sf.ServerTime().Add(-stampSpare)
		page, err := f.s.sf.Query(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE Id IN ('%s')", strings.Join(fields, ", "), object, strings.Join(ids, "', '")), salesforce.QueryOpts{})
		for ; page != nil && err == nil; page, err = f.s.sf.Next(ctx, page) {
			for _, record := range page.Records {
				row, err := o.table.Decode(record)
				if err != nil {
					return nil, err
				}
				var changed struct {
					LastModifiedByID string `json:"LastModifiedById"`
					LastModifiedDate salesforce.Time
				}
				if err := json.Unmarshal(record, &changed); err != nil {
					return nil, err
				}
				for _, i := range at[row.SFID] {
					list[i] = outbox.Standing{
						First: before.holds(i, row), Now: after.holds(i, row),
						Ours: salesforce.ID18(changed.LastModifiedByID) == f.s.userID, Age: clock.Sub(changed.LastModifiedDate.Time),
					}
				}
			}
		}
		f.s.salesforce(err)
		if err != nil {
			return nil, failure(err)
		}
	}
	return list, f.sinceThen(ctx, list)
}

// sinceThen takes from the ages of changes what a clock that was set meanwhile may have
// given them.
func (f finder) sinceThen(ctx context.Context, list []outbox.Standing) error {
	var oldest time.Duration
	for _, s := range list {
		oldest = max(oldest, s.Age)
	}
	gain, err := f.s.clockGain(ctx, f.s.sf.ServerTime(), oldest)
	for i := range list {
		list[i].Age -= gain
	}
	return err
}

// objectNamed is the object at work of that name, nil if there is none.
func (s *session) objectNamed(name string) *object {
	for _, o := range s.objects {
		if o.cfg.Name == name {
			return o
		}
	}
	return nil
}

// comparer tells which attempts a record may have come of.
type comparer struct {
	m    *mapping
	key  int              // column that alone decides, -1 if all that were sent do
	spec []pgsink.Field   // per column
	sent [][]*string      // per attempt and column, normalised; nil where nothing was sent
	none [][]string       // per attempt, the fields that were not sent
	ages []time.Duration  // per attempt
	used []int            // columns that any attempt has sent
	sets map[string][]int // sets of columns, by their text
	by   map[string][]int // attempts, by set and values
}

func newComparer(m *mapping, attempts []outbox.Attempt, externalID string) (*comparer, error) {
	c := &comparer{
		m: m, key: -1, spec: make([]pgsink.Field, len(m.table.Columns)), sent: make([][]*string, len(attempts)), none: make([][]string, len(attempts)), ages: make([]time.Duration, len(attempts)),
		sets: map[string][]int{}, by: map[string][]int{},
	}
	for i, column := range m.table.Columns {
		at := slices.IndexFunc(m.spec.Fields, func(f pgsink.Field) bool { return f.Name == column.Field })
		if at >= 0 {
			c.spec[i] = m.spec.Fields[at]
		}
		if externalID != "" && column.Field == externalID {
			c.key = i
		}
	}
	used := map[int]bool{}
	for a, at := range attempts {
		row, err := c.decode(at.Fields)
		if err != nil {
			return nil, err
		}
		c.sent[a], c.none[a], c.ages[a] = row.Values, row.Missing, at.Age
		var set []int
		for i, column := range m.table.Columns {
			if slices.Contains(row.Missing, column.Field) || c.key >= 0 && i != c.key || c.key < 0 && c.rounds(i, row.Values[i]) {
				continue
			}
			set, used[i] = append(set, i), true
		}
		if len(set) > 0 { // else any record would equal it
			name := fmt.Sprint(set)
			c.sets[name] = set
			k := name + c.text(set, row.Values)
			c.by[k] = append(c.by[k], a)
		}
	}
	for i := range m.table.Columns {
		if used[i] {
			c.used = append(c.used, i)
		}
	}
	return c, nil
}

// decode reads the fields of a request as if they were a record.
func (c *comparer) decode(fields map[string]any) (pgsink.Row, error) {
	record := map[string]any{"Id": noID}
	for name, value := range fields {
		record[name] = value
	}
	body, err := json.Marshal(record)
	if err != nil {
		return pgsink.Row{}, err
	}
	return c.m.table.Decode(body)
}

// fields are what must be read to compare.
func (c *comparer) fields() []string {
	names := []string{"Id", "CreatedDate"}
	if c.m.delete {
		names = append(names, "IsDeleted")
	}
	for _, i := range c.used {
		names = append(names, c.m.table.Columns[i].Field)
	}
	return names
}

// keys are the attempts' external ids as SOQL literals.
func (c *comparer) keys() []string {
	var list []string
	for _, values := range c.sent {
		if c.key < 0 || values[c.key] == nil {
			continue
		}
		literal := *values[c.key]
		switch c.spec[c.key].Type {
		case "double", "int", "long", "currency", "percent":
		default:
			literal = "'" + soqlEscape.Replace(literal) + "'"
		}
		list = append(list, literal)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// soqlEscape writes a text as part of a SOQL literal (SOQL and SOSL Reference,
// "Quoted String Escape Sequences").
var soqlEscape = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`, "\f", `\f`, `"`, `\"`)

// compare finds the attempts that a record equals, of those that were sent before
// it was made. now is as early as it may be, by the clock of who made it.
func (c *comparer) compare(record json.RawMessage, now time.Time) (outbox.Candidate, error) {
	var made struct {
		CreatedDate salesforce.Time
		IsDeleted   bool
	}
	if err := json.Unmarshal(record, &made); err != nil {
		return outbox.Candidate{}, err
	}
	row, err := c.m.table.Decode(record)
	if err != nil {
		return outbox.Candidate{}, err
	}
	age := now.Sub(made.CreatedDate.Time)
	found := outbox.Candidate{SFID: row.SFID, Age: age, Deleted: made.IsDeleted}
	for name, set := range c.sets {
		found.Equal = append(found.Equal, c.by[name+c.text(set, row.Values)]...)
	}
	found.Equal = slices.DeleteFunc(found.Equal, func(a int) bool { return age > c.ages[a] })
	slices.Sort(found.Equal)
	return found, nil
}

// holds reports whether a record has the values that an attempt has sent.
func (c *comparer) holds(attempt int, row pgsink.Row) outbox.Answer {
	all := outbox.Unsure
	for i, sent := range c.sent[attempt] {
		switch {
		case slices.Contains(c.none[attempt], c.m.table.Columns[i].Field), slices.Contains(row.Missing, c.m.table.Columns[i].Field):
		case c.rounds(i, sent):
			return outbox.Unsure
		case c.normal(i, sent) != c.normal(i, row.Values[i]):
			return outbox.No
		default:
			all = outbox.Yes
		}
	}
	return all
}

// text is the normalised values of some columns as one key.
func (c *comparer) text(columns []int, values []*string) string {
	var b strings.Builder
	for _, i := range columns {
		v := c.normal(i, values[i])
		fmt.Fprintf(&b, "|%d:%s", len(v), v)
	}
	return b.String()
}

// normal is a canonical value as Salesforce would store it: trimmed and without
// fractions of a second.
func (c *comparer) normal(i int, value *string) string {
	if value == nil {
		return ""
	}
	v := *value
	f := c.spec[i]
	switch f.Type {
	case "double", "currency", "percent":
		if r, ok := new(big.Rat).SetString(v); ok {
			return r.FloatString(f.Scale) // zeros at the end say nothing
		}
	case "datetime":
		if len(v) > len(time.DateTime) {
			return v[:len(time.DateTime)]
		}
	case "multipicklist":
		parts := strings.Split(v, ";")
		slices.Sort(parts)
		return strings.Join(parts, ";")
	case "id", "reference", "boolean", "date", "time", "int", "long":
	default:
		return strings.TrimSpace(strings.ReplaceAll(v, "\r\n", "\n"))
	}
	return v
}

// rounds reports whether a number has more digits than its field: how Salesforce
// rounds it is not documented, so it is not compared.
func (c *comparer) rounds(i int, value *string) bool {
	if value == nil {
		return false
	}
	switch c.spec[i].Type {
	case "double", "currency", "percent":
		_, fraction, _ := strings.Cut(*value, ".")
		return len(strings.TrimRight(fraction, "0")) > c.spec[i].Scale
	}
	return false
}
