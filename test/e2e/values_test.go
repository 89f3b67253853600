package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/org"
)

// envRecords says how many records the value tests make for each way; the
// default keeps the suite quick, and "make test/values" makes 10,000.
const envRecords = "HCBRIDGE_TEST_RECORDS"

// records is that number, at least the given one.
func records(t *testing.T, least int) int {
	t.Helper()
	text := os.Getenv(envRecords)
	if text == "" {
		return least
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", envRecords, err)
	}
	return max(n, least)
}

// carried are the fields of Every__c that events can carry.
var carried = strings.Join([]string{
	"Name", "OwnerId", "External_Id__c", "Code__c", "Legacy_Key__c", "Number_Key__c", "Text__c", "Area__c", "Pick__c", "Open_Pick__c",
	"Multi__c", "Combo__c", "Check__c", "Int__c", "Double__c", "Currency__c", "Percent__c", "Date__c", "Datetime__c", "Time__c", "Email__c",
	"Phone__c", "Url__c", "Ref__c", "Loc__Latitude__s", "Loc__Longitude__s", "Auto__c", "Formula__c", "Double_Formula__c", "CreatedDate", "LastModifiedDate",
}, ",")

// all are those and the ones that are only read by asking, a parent's key
// among them.
var all = carried + ",Long__c,Rich__c,Secret__c,CreatedById,LastModifiedById,Ref__r.External_Id__c"

// A record's values are exact in the table whichever way they came: from the
// event itself, read back after an event, found by a poll, loaded by REST, or
// loaded as Bulk CSV. What is expected is worked out here from what was put
// into the org, and shares nothing with the bridge (faults 33 and 45).
func TestValues(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name     string
		least    int
		before   bool // the records are there when the bridge starts
		settings []string
		events   bool // rows may come from nothing but events
	}{
		{name: "Event", least: 600, settings: []string{"HC_OBJECT_EVERY__C_FIELDS=" + carried}, events: true},
		{name: "EventThenRead", least: 600, settings: []string{"HC_NUMBER_TYPE=numeric", "HC_OBJECT_EVERY__C_FIELDS=" + all}},
		{name: "Poll", least: 600, settings: []string{"HC_NUMBER_TYPE=numeric", "HC_OBJECT_EVERY__C_MODE=polling", "HC_POLL_INTERVAL=3s"}},
		{name: "LoadREST", least: 600, before: true, settings: []string{"HC_OBJECT_EVERY__C_FIELDS=" + all, "HC_OBJECT_EVERY__C_MODE=polling"}},
		{name: "LoadBulk", least: 2200, before: true, settings: []string{"HC_NUMBER_TYPE=numeric", "HC_OBJECT_EVERY__C_FIELDS=" + all, "HC_OBJECT_EVERY__C_MODE=polling"}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, append(way.settings, "HC_OBJECTS=Every__c")...)
			v := newValues(r)
			n := records(t, way.least)
			if way.name == "LoadREST" {
				n = way.least // more of them are loaded by the Bulk API
			}
			if way.before {
				v.insert(n)
			}
			// Neither the zone nor the notation of the database's sessions has a
			// say in what a value is.
			r.Exec(`DO $$ BEGIN
				EXECUTE format('ALTER DATABASE %I SET timezone = ''America/New_York''', current_database());
				EXECUTE format('ALTER DATABASE %I SET datestyle = ''SQL, DMY''', current_database());
			END $$`)
			r.Start()
			r.Synced()
			switch {
			case way.events:
				v.byEvents(n)
			case !way.before:
				v.insert(n)
				v.settle()
				v.update(n / 4)
			}
			v.settle()
		})
	}
}

// values makes random records of Every__c and knows what their rows must be.
type values struct {
	*rig
	rnd    *rand.Rand
	serial int
	// By record and column, in the text of Postgres under DateStyle ISO.
	want     map[string]map[string]*string
	accounts map[string]string // id: external id
}

func newValues(r *rig) *values {
	seed := uint64(time.Now().UnixNano())
	r.T.Logf("seed %d", seed)
	v := &values{rig: r, rnd: rand.New(rand.NewPCG(seed, 0)), want: map[string]map[string]*string{}, accounts: map[string]string{}}
	for i := range 20 {
		key := fmt.Sprintf("Acct-%d-é", i)
		v.accounts[r.Insert("Account", map[string]any{"Name": "A", "External_Id__c": key})] = key
	}
	return v
}

func (v *values) insert(n int) {
	v.T.Helper()
	var wants []map[string]*string
	ids, err := v.SF.InsertMany("Every__c", func(yield func(map[string]any) bool) {
		for range n {
			fields, want := v.draw()
			wants = append(wants, want)
			if !yield(fields) {
				return
			}
		}
	})
	v.Must(err)
	for i, id := range ids {
		v.want[id] = wants[i]
	}
}

func (v *values) update(n int) {
	v.T.Helper()
	for _, id := range slices.Sorted(maps.Keys(v.want))[:n] {
		fields, want := v.draw()
		v.Must(v.SF.Update("Every__c", id, fields))
		v.want[id] = want
	}
}

// byEvents inserts and updates while no record can be read but by its event. A
// poll or a gap may mark records all the same, which then wait.
func (v *values) byEvents(n int) {
	v.T.Helper()
	v.Eventually("subscription", 30*time.Second, func() error {
		if len(v.accepted("/topic/hc_Every__c")) == 0 {
			return errors.New("not subscribed")
		}
		return nil
	})
	refused := v.SF.Fault(org.Fault{Path: "/composite/sobjects/|/jobs/query", Verb: org.Reject})
	v.insert(n)
	v.exact(v.differences)
	// Of two changes in one second only Salesforce knows the later.
	v.Eventually("another second", 2*time.Second, func() error {
		for _, rec := range v.SF.Records("Every__c") {
			if rec.Stamp.Equal(time.Now().Truncate(time.Second)) {
				return errors.New("it is the second of a record's stamp")
			}
		}
		return nil
	})
	v.update(n / 4)
	v.exact(v.differences)
	refused.Release()
}

// settle waits until the table holds exactly what it must, and no record waits
// to be read.
func (v *values) settle() {
	v.T.Helper()
	v.exact(func() error {
		if marks := v.Count("SELECT count(*) FROM hcbridge.mark"); marks > 0 {
			return fmt.Errorf("%d marks; read errors: %s", marks, v.readErrors())
		}
		return v.differences()
	})
}

func (v *values) exact(try func() error) {
	v.T.Helper()
	v.Eventually("exact values", 30*time.Second+time.Duration(len(v.want))*5*time.Millisecond, try)
}

func (r *rig) readErrors() string {
	var text *string
	if err := r.Pool.QueryRow(r.T.Context(), "SELECT string_agg(sfid || ' ' || code || ' ' || message, '; ') FROM (SELECT * FROM hcbridge.read_error LIMIT 5) AS e").Scan(&text); err != nil {
		return err.Error()
	}
	if text == nil {
		return "none"
	}
	return *text
}

// differences is what the table holds that it must not, or does not hold.
func (v *values) differences() error {
	if rows := v.Count("SELECT count(*) FROM salesforce.every__c"); rows != len(v.want) {
		return fmt.Errorf("%d rows of %d; read errors: %s", rows, len(v.want), v.readErrors())
	}
	conn, err := v.Pool.Acquire(v.T.Context())
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(v.T.Context(), "SET datestyle = ISO"); err != nil {
		return err
	}
	rows, err := conn.Query(v.T.Context(), "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'salesforce.every__c'::regclass AND attnum > 0 ORDER BY attnum")
	if err != nil {
		return err
	}
	var columns, list, types []string
	var name, typ string
	if _, err := pgx.ForEachRow(rows, []any{&name, &typ}, func() error {
		columns, types, list = append(columns, name), append(types, typ), append(list, pgx.Identifier{name}.Sanitize()+"::text")
		return nil
	}); err != nil {
		return err
	}
	if rows, err = conn.Query(v.T.Context(), "SELECT "+strings.Join(list, ", ")+" FROM salesforce.every__c"); err != nil {
		return err
	}
	defer rows.Close()
	var diff []error
	at := slices.Index(columns, "sfid")
	for rows.Next() && len(diff) < 10 {
		got, targets := make([]*string, len(columns)), make([]any, len(columns))
		for i := range got {
			targets[i] = &got[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		id := *got[at]
		want := v.system(id)
		maps.Copy(want, v.want[id])
		for i, c := range columns {
			if slices.Contains([]string{"id", "_hc_err"}, c) {
				continue
			}
			w, ok := want[c]
			if !ok {
				return fmt.Errorf("the test knows nothing of column %s", c)
			}
			if !same(types[i], got[i], w) {
				diff = append(diff, fmt.Errorf("%s.%s (%s) is %s, want %s", id, c, types[i], shown(got[i]), shown(w)))
			}
		}
	}
	return errors.Join(append(diff, rows.Err())...)
}

func shown(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%.300q", *s)
}

// same compares exactly. Only a double precision column may differ, by what a
// double cannot hold: it must be the nearest one.
func same(pgType string, got, want *string) bool {
	if got == nil || want == nil || pgType != "double precision" {
		return got == nil && want == nil || got != nil && want != nil && *got == *want
	}
	exact, ok := new(big.Rat).SetString(*want)
	if !ok {
		return false
	}
	nearest, _ := exact.Float64()
	have, err := strconv.ParseFloat(*got, 64)
	return err == nil && have == nearest
}

// system are the columns that the org fills in.
func (v *values) system(id string) map[string]*string {
	ob := v.SF.Object("Every__c")
	rec, _ := v.SF.Get("Every__c", id)
	want := map[string]*string{"sfid": &id, "isdeleted": text("false"), "_hc_lastop": text("SYNCED")}
	for _, name := range []string{"Auto__c", "OwnerId", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"} {
		switch x := rec.Get(ob, name).(type) {
		case string:
			want[strings.ToLower(name)] = &x
		case time.Time:
			want[strings.ToLower(name)] = text(x.UTC().Format(time.DateTime))
		}
	}
	return want
}

func text(s string) *string { return &s }

// draw makes the fields of a record as a client would send them, and what its
// row must hold.
func (v *values) draw() (fields map[string]any, want map[string]*string) {
	v.serial++
	n := v.serial
	fields, want = map[string]any{}, map[string]*string{}
	put := func(field string, value any, column *string) {
		fields[field], want[strings.ToLower(field)] = value, column
	}
	put("External_Id__c", fmt.Sprintf(" E-%d ", n), text(fmt.Sprintf("E-%d", n)))
	// Two records whose keys differ in case only are two (fault 50).
	put("Code__c", []string{"k", "K"}[n%2]+strconv.Itoa(n/2), text([]string{"k", "K"}[n%2]+strconv.Itoa(n/2)))
	key := big.NewInt(999_999_999_999_999_999 - int64(n)) // 18 digits, more than a double holds
	put("Number_Key__c", json.Number(key.String()), text(key.String()))
	for field, length := range map[string]int{
		"Name": 80, "Legacy_Key__c": 40, "Text__c": 255, "Area__c": 255, "Open_Pick__c": 255, "Combo__c": 255, "Phone__c": 40, "Url__c": 255, "Secret__c": 175, "Rich__c": 2000,
	} {
		value, column := v.text(length)
		if field == "Name" {
			value, column = fmt.Sprintf("Name %d", n), text(fmt.Sprintf("Name %d", n))
		}
		put(field, value, column)
	}
	if s := want["secret__c"]; s != nil { // the reader sees the mask only
		want["secret__c"] = text(strings.Repeat("*", len([]rune(*s))))
	}
	want["formula__c"] = nil
	if s := want["text__c"]; s != nil {
		want["formula__c"] = text("<" + *s + ">")
	}
	length := 1000
	if n%100 == 1 {
		length = 131072
	}
	value, column := v.text(length)
	put("Long__c", value, column)
	v.choices(put)
	v.numbers(put)
	want["double_formula__c"] = want["int__c"]
	v.times(put)
	put("Email__c", nil, nil)
	if v.rnd.IntN(3) > 0 {
		mail := fmt.Sprintf("o'n%d+tag@sub.exämple.com", n)
		put("Email__c", mail, &mail)
	}
	put("Ref__c", nil, nil)
	want["ref__r__external_id__c"] = nil
	if ids := slices.Sorted(maps.Keys(v.accounts)); v.rnd.IntN(3) > 0 {
		id := ids[v.rnd.IntN(len(ids))]
		put("Ref__c", id[:[]int{15, 18}[n%2]], &id)
		want["ref__r__external_id__c"] = text(v.accounts[id])
	}
	return fields, want
}

// choices are checkboxes and picklists: restricted ones in the spelling and
// order of their definition.
func (v *values) choices(put func(string, any, *string)) {
	check := v.rnd.IntN(2) == 0
	put("Check__c", check, text(strconv.FormatBool(check)))
	put("Pick__c", nil, nil)
	if pick := []string{"Red", "Green", "Blue"}[v.rnd.IntN(3)]; v.rnd.IntN(3) > 0 {
		put("Pick__c", strings.ToUpper(pick), &pick)
	}
	defined := []string{"Alpha", "Beta", "Gamma", "Delta"}
	var chosen, given []string
	for _, name := range defined {
		if v.rnd.IntN(2) == 0 {
			chosen, given = append(chosen, name), append(given, name)
		}
	}
	v.rnd.Shuffle(len(given), func(i, j int) { given[i], given[j] = given[j], given[i] })
	put("Multi__c", strings.Join(given, ";"), nil)
	if len(chosen) > 0 {
		put("Multi__c", strings.Join(given, ";"), text(strings.Join(chosen, ";")))
	}
}

// numbers have up to 18 digits and go in with digits too many, which the org
// cuts off.
func (v *values) numbers(put func(string, any, *string)) {
	for field, digits := range map[string][2]int{
		"Int__c": {9, 0}, "Double__c": {12, 6}, "Currency__c": {16, 2}, "Percent__c": {14, 4}, "Loc__Latitude__s": {1, 15}, "Loc__Longitude__s": {2, 15},
	} {
		if v.rnd.IntN(5) == 0 && !strings.HasPrefix(field, "Loc") {
			put(field, nil, nil)
			continue
		}
		whole := new(big.Int)
		for range 1 + v.rnd.IntN(digits[0]) {
			whole.Mul(whole, big.NewInt(10)).Add(whole, big.NewInt(v.rnd.Int64N(10)))
		}
		fraction := ""
		if digits[1] > 0 {
			fraction = fmt.Sprintf("%018d", v.rnd.Int64N(1e18))[:v.rnd.IntN(digits[1]+1)]
		}
		given, column := whole.String(), whole.String()
		if fraction != "" {
			given += "." + fraction
		}
		if kept := strings.TrimRight(fraction, "0"); kept != "" {
			column += "." + kept
		}
		if len(fraction) == digits[1] && digits[1] > 0 {
			given += "9" // one digit too many
		}
		if v.rnd.IntN(2) == 0 {
			given = "-" + given
			if column != "0" {
				column = "-" + column
			}
		}
		put(field, json.Number(given), &column)
	}
}

// times lie anywhere in Salesforce's calendar, often where New York sets its
// clocks.
func (v *values) times(put func(string, any, *string)) {
	from, to := time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), time.Date(4000, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli()
	at := time.UnixMilli(from + v.rnd.Int64N(to-from)).UTC()
	switch v.rnd.IntN(6) {
	case 0: // the hour that does not exist there
		at = time.Date(2024, 3, 10, 2, v.rnd.IntN(60), v.rnd.IntN(60), 0, time.UTC)
	case 1: // the hour that comes twice there, and the one it is in UTC
		at = time.Date(2024, 11, 3, []int{1, 5, 6}[v.rnd.IntN(3)], v.rnd.IntN(60), v.rnd.IntN(60), 0, time.UTC)
	case 2:
		at = time.Date(2024, 2, 29, 23, 59, 59, 999_000_000, time.UTC)
	case 3:
		at = []time.Time{time.UnixMilli(from).UTC(), time.UnixMilli(to).UTC(), time.Unix(0, 0).UTC(), time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)}[v.rnd.IntN(4)]
	}
	put("Datetime__c", at, text(at.Format(time.DateTime)))
	if v.rnd.IntN(2) == 0 {
		zone := time.FixedZone("", (v.rnd.IntN(27)-12)*3600+1800)
		put("Datetime__c", at.In(zone).Format("2006-01-02T15:04:05.000Z07:00"), text(at.Format(time.DateTime)))
	}
	put("Date__c", at.Format(time.DateOnly), text(at.Format(time.DateOnly)))
	put("Time__c", at.Format("15:04:05.000")+"Z", text(at.Format("15:04:05.999")))
	for _, field := range []string{"Datetime__c", "Date__c", "Time__c"} {
		if v.rnd.IntN(5) == 0 {
			put(field, nil, nil)
		}
	}
}

// nasty are texts that one layer or another takes for something else.
var nasty = []string{
	`\N`, `\.`, `\\`, `\`, `\u0000`, `\x41`, `"`, `""`, `'`, `'; DROP TABLE x; --`, `a,b`, `;`, `$1`, `%s`, `{}`, `{a,NULL}`, `["x"]`, `{"a":1}`, `NULL`, `null`, `#N/A`,
	"a\r\nb", "a\rb", "a\nb", "a\n\nb", "\"a\"\r\n\"b\"", "a\tb", "a\x01\x1f\x7f\u0080b", "é", "e\u0301", "ß", "İ", "ﬃ", "😀👩‍👩‍👧", "\ufeffbom", "a\u2028b", "\u202eltr", "\ufffd", "\uffff", "\U0010ffff",
	"0", "false", "1e5", "NaN", "Infinity", "now", "today", "00123", "2020-01-01", "=1+1", "<b>x &amp; y</b>", "a\u00a0", "\u2003a",
}

// text draws a text of at most length characters, as it is sent and as it is
// stored: without white space around it, and null if nothing is left.
func (v *values) text(length int) (given any, column *string) {
	var s string
	switch v.rnd.IntN(8) {
	case 0:
		return nil, nil
	case 1:
		return []string{"", " ", " \r\n\t "}[v.rnd.IntN(3)], nil
	case 2, 3, 4:
		s = nasty[v.rnd.IntN(len(nasty))]
	case 5:
		s = strings.Repeat(nasty[v.rnd.IntN(len(nasty))]+"x", length)
	default:
		b := make([]rune, 1+v.rnd.IntN(min(length, 300)))
		for i := range b {
			for b[i] == 0 || b[i] >= 0xd800 && b[i] < 0xe000 {
				b[i] = rune(v.rnd.IntN([]int{0x80, 0x800, 0x10000, 0x110000}[v.rnd.IntN(4)]))
			}
		}
		s = string(b)
	}
	if length > 1000 {
		s = strings.Repeat("Zeile «1»\r\n", length)
	}
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	if runes := []rune(s); len(runes) > length {
		s = string(runes[:length-1]) + "."
	}
	switch {
	case s == "":
		return "\x1f", nil
	case v.rnd.IntN(4) == 0:
		return "\n  " + s + "\t", &s
	}
	return s, &s
}
