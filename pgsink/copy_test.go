package pgsink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// texts are values of a kind: those that have a binary form, those that only
// Postgres can read, and those that it refuses. A few are good for one column
// type and bad for another.
func texts(k kind) (plain, odd, bad []string) {
	switch k {
	case kindText, kindAny:
		return []string{"x", " spaces ", "tab\t nl\n crlf\r\n back\\slash \\N \"quoted\", é😀", "null", `\.`, strings.Repeat("é", 18)},
			[]string{"x" + strings.Repeat(" ", 5000)}, []string{"nul \x00", "bad \xff", strings.Repeat("long", 9000) + "x"}
	case kindID:
		return []string{"001M000000qfPyS", id(7)}, nil, []string{strings.Repeat("i", 19)}
	case kindBool:
		return []string{"true", "false", "TRUE", "0", "1"}, []string{"yes"}, []string{"maybe"}
	case kindNumber:
		return []string{
			"0", "1", "-1", "23.0", "007", "-0.0", "2147483647", "-2147483648", "9007199254740993", "-123456789012345678",
			"-0.50", ".5", "1.23E8", "1.5e-7", "123456789012345678.25", "0.00001234", "10000", "100000000.0001", "99999.9999", "1e30", "5e-324",
		}, []string{"1e399"}, []string{"NaN", "Infinity", "1e400", "1e-400", "abc", "1.2.3", "0x10", "1_000", "9223372036854775808"}
	case kindDate:
		return []string{"2024-02-29", "1700-01-01", "4000-12-31", "2010-01-01Z", "0001-01-01", "9999-12-31", "2019-04-23T00:00:00.000Z", "2019-04-23T00:00:00+0000"},
			[]string{"2010-1-1"}, []string{"2023-02-29", "0000-01-01", "2010-13-01", "today?", "2019-04-23T01:00:00.000Z", "2019-04-23T00:00:00", "2019-02-29T00:00:00.000Z"}
	case kindDatetime:
		return []string{
				"2024-02-29T23:59:59.999Z", "1700-01-01T00:00:00.000Z", "4000-12-31T23:59:59.000Z", "2011-07-07T00:37:00.000+0000",
				"2020-03-01T01:00:00.000+0230", "1588323600000", "2020-08-06T06:22:19Z", "0001-01-01T00:00:00.000Z",
			}, []string{"2020-08-06T24:00:00.000Z", "2020-08-06T06:22:60.000Z"},
			[]string{"2023-02-29T00:00:00.000Z", "2020-08-06T25:00:00.000Z", "0000-01-01T00:00:00.000Z", "2020-08-06X06:22:19.000Z", "tomorrow?"}
	case kindTime:
		return []string{"13:30:00.000Z", "23:59:59.999Z", "48600000", "00:00:00.000Z", "1:02:03"}, []string{"24:00:00"}, []string{"25:00:00", "noon?"}
	}
	return nil, nil, nil
}

// everyCSV is n records of table. The values that are plain for their column
// are drawn at random; all others come once per column type, in records of
// their own.
func everyCSV(table *Table, n int, seed uint64) string {
	random := rand.New(rand.NewPCG(seed, 0))
	draw := func(c Column) string {
		plain, _, _ := texts(c.kind)
		switch {
		case c.Field == "IsDeleted":
			return "false"
		case c.Field == "External__c" || random.IntN(6) == 0:
			return ""
		case c.Type == "int":
			plain = plain[:8]
		case c.Type == "long":
			plain = plain[:10]
		case c.kind == kindNumber && random.IntN(2) == 0:
			return fmt.Sprintf("%d.%02d", random.Int64N(1e15)-5e14, random.IntN(100))
		case c.kind == kindText && textLength(c.PgType) < 8:
			plain = plain[:1]
		case c.kind == kindText && textLength(c.PgType) < 100:
			plain = plain[:2]
		}
		return plain[random.IntN(len(plain))]
	}
	b := &strings.Builder{}
	write := func(values []string) {
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + strings.ReplaceAll(v, `"`, `""`) + `"`)
		}
		b.WriteByte('\n')
	}
	header := []string{"Id"}
	for _, c := range table.Columns {
		header = append(header, c.Field)
	}
	write(header)
	count := 0
	record := func(at int, value string) {
		values := []string{id(count)}
		for i, c := range table.Columns {
			if i == at {
				values = append(values, value)
				continue
			}
			values = append(values, draw(c))
		}
		write(values)
		count++
	}
	seen := map[string]bool{}
	for i, c := range table.Columns {
		if key := fmt.Sprint(c.kind, castType(c.PgType)); !seen[key] {
			seen[key] = true
			plain, odd, bad := texts(c.kind)
			for _, v := range slices.Concat(plain, odd, bad) {
				record(i, v)
			}
		}
	}
	for count < n {
		record(-1, "")
	}
	return b.String()
}

// The fast way and the slow way into the table come to the same, value for
// value and refusal for refusal. HCBRIDGE_TEST_RECORDS is how many are tried.
func TestCopyAndMergeAreEqual(t *testing.T) {
	t.Parallel()
	records := 1_500
	if text := os.Getenv("HCBRIDGE_TEST_RECORDS"); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, numeric := range []bool{false, true} {
		t.Run(fmt.Sprintf("Numeric=%t", numeric), func(t *testing.T) {
			t.Parallel()
			spec := every()
			spec.Numeric = numeric
			b := setup(t, spec)
			other := spec
			other.Schema = "other"
			merged, err := NewTable(other)
			if err != nil {
				t.Fatal(err)
			}
			b.exec(`CREATE SCHEMA other`)
			if err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
				_, err := merged.Ensure(t.Context(), tx)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			text := everyCSV(b.table, records, seed)
			copied := b.loadChunks(b.sink, b.table, text, nil)
			b.loadChunks(New(b.pool, "other", zerolog.Nop()), merged, text, func(c *Chunk) {
				c.tuples, c.ends = nil, make([]int, len(c.ends)) // nothing can be copied
			})
			if copied < records-100 {
				t.Errorf("only %d records have a tuple", copied)
			}
			var names []string
			for _, c := range b.table.Columns {
				name := quote(c.Name)
				if numeric && c.Type == "double" {
					name += "::text" // 1.0 and 1 are equal otherwise
				}
				names = append(names, name)
			}
			list := "sfid, _hc_lastop, _hc_err, " + strings.Join(names, ", ")
			for _, pair := range [][2]string{{"salesforce", "other"}, {"other", "salesforce"}} {
				sql := fmt.Sprintf(`SELECT coalesce(string_agg(sfid, ' '), '') FROM (SELECT %[1]s FROM %[2]s.every__c EXCEPT SELECT %[1]s FROM %[3]s.every__c) AS d`, list, pair[0], pair[1])
				b.want("", sql)
				b.want("", fmt.Sprintf(`SELECT coalesce(string_agg(format('%%s %%s %%s', sfid, code, message), ', '), '') FROM (
					SELECT sfid, code, message FROM hcbridge.read_error WHERE schema = '%s'
					EXCEPT SELECT sfid, code, message FROM hcbridge.read_error WHERE schema = '%s') AS d`, pair[0], pair[1]))
			}
			b.want("true", `SELECT count(*) > $1::int - 100 FROM salesforce.every__c`, records)
			b.want("true", `SELECT count(*) > 30 FROM hcbridge.read_error WHERE schema = 'salesforce'`)
		})
	}
}

// loadChunks loads a page and returns how many records had a tuple.
func (b *bundle) loadChunks(sink *Sink, table *Table, text string, change func(*Chunk)) (copied int) {
	b.t.Helper()
	chunks, err := table.Chunks(strings.NewReader(text), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	chunk := &Chunk{}
	for !errors.Is(err, io.EOF) {
		if err = chunks.Next(chunk); err != nil && !errors.Is(err, io.EOF) {
			b.t.Fatal(err)
		}
		if change != nil {
			change(chunk)
		}
		for i := range chunk.ids {
			if len(chunk.tuple(i)) > 0 {
				copied++
			}
		}
		if err := sink.LoadChunk(b.t.Context(), chunk, func() (LoadPosition, bool) { return LoadPosition{}, false }); err != nil {
			b.t.Fatal(err)
		}
	}
	return copied
}

// chunk is a chunk of lines.
func (b *bundle) chunk(lines ...string) *Chunk {
	b.t.Helper()
	chunks, err := b.table.Chunks(strings.NewReader(loadHeader+strings.Join(lines, "")), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	c := &Chunk{}
	if err := chunks.Next(c); !errors.Is(err, io.EOF) {
		b.t.Fatal(err)
	}
	return c
}

// Whatever the table knows of a record already, the copy must not be used.
func TestLoadBesideLiveChanges(t *testing.T) {
	t.Parallel()
	lines := func(n int) (all []string) {
		for i := range n {
			all = append(all, line(i, "load", at(5)))
		}
		return all
	}

	t.Run("MergesWhatHasARow", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 3, at(9), "Name", "newer"), b.change(Event, 5, at(1), "Name", "older"))
		row := b.rowID(5)
		b.load(10, lines(10)...)
		b.want("10", `SELECT count(*) FROM salesforce.account`)
		if b.name(3) != "newer" || b.name(5) != "load" || b.rowID(5) != row || b.name(4) != "load" {
			t.Errorf("names %s, %s and %s, row %s instead of %s", b.name(3), b.name(4), b.name(5), b.rowID(5), row)
		}
	})

	t.Run("LeavesADeletedRecordToItsMark", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.apply(Result{Marked: 2, Unchanged: 1}, Batch{Changes: []Change{b.remove(3)}, Marks: []Mark{
			{Object: "Account", SFID: id(3), Reason: "deleted during the load"}, {Object: "Account", SFID: id(4), Reason: ReasonParked},
		}})
		b.load(10, lines(10)...)
		b.want("9", `SELECT count(*) FROM salesforce.account`)
		b.want("<none>", `SELECT name FROM salesforce.account WHERE sfid = $1`, id(3))
		if b.name(4) != "load" {
			t.Error("a record that was parked did not get another chance")
		}
	})

	t.Run("GivesWayToWhoIsFaster", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		// The app of another table makes the row while ours is being copied: the
		// lookup has not seen it, and the unique index has the last word.
		b.exec(`CREATE FUNCTION faster() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF pg_trigger_depth() = 1 AND NEW.sfid = '` + id(2) + `' THEN
				INSERT INTO salesforce.account (sfid, name, systemmodstamp) VALUES ('` + id(7) + `', 'faster', '2030-01-01');
			END IF;
			RETURN NEW; END $$`)
		b.exec(`CREATE TRIGGER faster BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION faster()`)
		c := b.chunk(lines(10)...)
		ctx := withTimeout(t)
		if err := b.sink.LoadChunk(ctx, c, func() (LoadPosition, bool) { return LoadPosition{Job: "750"}, true }); err != nil {
			t.Fatal(err)
		}
		b.want("10", `SELECT count(*) FROM salesforce.account`)
	})

	t.Run("MergesWhileTheAppHasUnsentDeletes", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.entry("NEW", "DELETE", "77", id(3))
		b.load(10, lines(10)...)
		b.want("9", `SELECT count(*) FROM salesforce.account`)
		if got := b.reason(3); got != ReasonHeld {
			t.Errorf("the deleted record's mark is %q", got)
		}
	})

	t.Run("UndoesACopyThatADeleteOvertook", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		// Stands for an app's delete that commits between the lookup and the copy.
		b.exec(`CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NOT EXISTS (SELECT FROM salesforce._trigger_log) THEN
				INSERT INTO salesforce._trigger_log (state, action, table_name, record_id, sfid) VALUES ('NEW', 'DELETE', 'account', 77, '` + id(3) + `');
			END IF;
			RETURN NEW; END $$`)
		b.exec(`CREATE TRIGGER late BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION late()`)
		var unsent bool
		err := b.sink.Tx(t.Context(), func(tx pgx.Tx) (err error) {
			done, err := b.sink.copyDirect(t.Context(), tx, b.chunk(lines(10)...), []int{0, 1, 2, 3, 4})
			unsent = !done
			return err
		})
		if err != nil || !unsent {
			t.Errorf("the copy stayed, %v", err)
		}
		b.want("0", `SELECT count(*) FROM salesforce.account`)
	})

	t.Run("HoldsAllWhileAnInsertIsUnderWay", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.entry("PENDING", "INSERT", "77", "")
		b.load(10, lines(10)...)
		b.want("0", `SELECT count(*) FROM salesforce.account`)
		b.want("10", `SELECT count(*) FROM hcbridge.mark WHERE reason = 'held'`)
	})

	t.Run("MatchesRowsByExternalID", func(t *testing.T) {
		t.Parallel()
		b := setup(t, keyed())
		b.exec(`INSERT INTO salesforce.account (name, ext__c) VALUES ('app', 'E4')`)
		all := lines(10)
		all[4] = strings.Replace(all[4], `"",`, `"E4",`, 1)
		b.load(10, all...)
		b.want("10", `SELECT count(*) FROM salesforce.account`)
		b.want("load", `SELECT name FROM salesforce.account WHERE ext__c = 'E4' AND sfid IS NOT NULL`)
	})

	t.Run("MergesWhatATriggerLeavesOut", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.sfid = '` + id(3) + `' THEN NULL ELSE NEW END; END $$`)
		b.exec(`CREATE TRIGGER skip BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION skip()`)
		b.load(10, lines(10)...)
		b.want("9", `SELECT count(*) FROM salesforce.account`)
		if got := b.reason(3); got != ReasonParked {
			t.Errorf("the mark of the record left out is %q", got)
		}
	})

	t.Run("FindsWhatADeferredConstraintRefuses", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`CREATE TABLE names (name varchar PRIMARY KEY)`)
		b.exec(`INSERT INTO names VALUES ('load')`)
		b.exec(`ALTER TABLE salesforce.account ADD FOREIGN KEY (name) REFERENCES names DEFERRABLE INITIALLY DEFERRED`)
		all := lines(10)
		all[4] = line(4, "orphan", at(5))
		b.load(10, all...)
		b.want("9", `SELECT count(*) FROM salesforce.account`)
		b.want(id(4), `SELECT sfid FROM hcbridge.read_error JOIN hcbridge.mark USING (sfid) WHERE code = '23503'`)
	})

	t.Run("FindsRowsInAnyCollation", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account ALTER COLUMN sfid TYPE varchar(18) COLLATE "und-x-icu"`)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 3, at(9), "Name", "newer"))
		b.load(10, lines(10)...)
		b.want("10", `SELECT count(*) FROM salesforce.account`)
		if b.name(3) != "newer" {
			t.Errorf("name is %s", b.name(3))
		}
	})

	t.Run("WaitsForNobodyLong", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		tx, err := b.pool.Begin(t.Context()) // an event that is not committed
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `INSERT INTO salesforce.account (sfid, name, systemmodstamp) VALUES ($1, 'event', '2030-01-01')`, id(3)); err != nil {
			t.Fatal(err)
		}
		loaded := make(chan error, 1)
		c := b.chunk(lines(10)...)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			loaded <- b.sink.LoadChunk(ctx, c, func() (LoadPosition, bool) { return LoadPosition{}, false })
		}()
		b.waitForLock()
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-loaded; err != nil {
			t.Fatal(err)
		}
		b.want("10", `SELECT count(*) FROM salesforce.account`)
		if b.name(3) != "event" {
			t.Errorf("name is %s", b.name(3))
		}
	})
}

// waitForLock waits until some backend waits for another transaction.
func (b *bundle) waitForLock() {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if b.one(`SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'speculative token')`) != "0" {
			return
		}
	}
	b.t.Fatal("nobody waits for a lock")
}

// A reload of rows that are up to date writes none of them.
func TestReloadWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	var lines []string
	for i := range 20_000 {
		lines = append(lines, line(i, "a name", at(i%60)))
	}
	b.load(20_000, lines...)
	before := b.one(`SELECT md5(string_agg(concat_ws(' ', id, sfid, xmin, ctid), ',' ORDER BY id)) FROM salesforce.account`)
	b.load(20_000, lines...)
	b.want(before, `SELECT md5(string_agg(concat_ws(' ', id, sfid, xmin, ctid), ',' ORDER BY id)) FROM salesforce.account`)
	b.want("0", `SELECT count(*) FROM hcbridge.mark`)
}

// Chunks hold every record of a page once, whatever their sizes are and how
// many were loaded before.
func TestChunks(t *testing.T) {
	t.Parallel()
	table := mustTable(t, account())
	var page strings.Builder
	page.WriteString(loadHeader)
	const records = 60_000 // some chunks
	for i := range records {
		name := "a name"
		if i == 20_000 {
			name = strings.Repeat("long ", chunkSize) // more than a chunk
		}
		page.WriteString(line(i, name, at(1)))
	}
	for _, skip := range []int64{0, 1, 19_999, 20_001, 55_000, records, records + 1} {
		chunks, err := table.Chunks(iotest.HalfReader(strings.NewReader(page.String())), skip)
		if err != nil {
			t.Fatal(err)
		}
		next, count := int(skip), 0
		for err == nil {
			chunk := &Chunk{}
			if err = chunks.Next(chunk); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if count++; chunk.Rows == 0 && err == nil || int(chunk.Rows) != len(chunk.ids) {
				t.Fatalf("a chunk of %d rows and %d ids", chunk.Rows, len(chunk.ids))
			}
			for i, got := range chunk.ids {
				where := chunk.records[i]
				if got != id(next) || !strings.Contains(string(chunk.raw[where.from:where.to]), got) {
					t.Fatalf("skip %d: record %s, want %s", skip, got, id(next))
				}
				next++
			}
		}
		if next != max(records, int(skip)) || skip == 0 && count < 3 {
			t.Errorf("skip %d: ended at %d after %d chunks", skip, next, count)
		}
	}
}
