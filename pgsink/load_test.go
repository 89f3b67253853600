package pgsink

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const loadHeader = `"Id","Name","Ext__c","Amount__c","SystemModstamp","IsDeleted"` + "\n"

// line is a CSV line of record n.
func line(n int, name string, stamp time.Time) string {
	return fmt.Sprintf("%q,\"%s\",\"\",\"1.50\",%q,\"false\"\n", id(n), strings.ReplaceAll(name, `"`, `""`), stamp.Format("2006-01-02T15:04:05.000Z"))
}

func (b *bundle) load(want int64, lines ...string) {
	b.t.Helper()
	got, err := b.loadPage(strings.NewReader(loadHeader+strings.Join(lines, "")), LoadPosition{Job: "750"})
	if err != nil {
		b.t.Fatal(err)
	}
	if got != want {
		b.t.Errorf("loaded %d, want %d", got, want)
	}
}

// loadPage loads a page chunk by chunk, from where the state says.
func (b *bundle) loadPage(csv io.Reader, at LoadPosition) (int64, error) {
	chunks, err := b.table.Chunks(csv, at.Done)
	for err == nil {
		chunk := &Chunk{}
		if err = chunks.Next(chunk); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		at.Done, at.Loaded = at.Done+chunk.Rows, at.Loaded+chunk.Rows
		if err := b.sink.LoadChunk(b.t.Context(), chunk, func() (LoadPosition, bool) { return at, true }); err != nil {
			return 0, err
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return at.Done, err
}

func TestLoadChunk(t *testing.T) {
	t.Parallel()

	t.Run("MovesItsStateWithTheRows", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		nasty := "tab\t nl\n crlf\r\n back\\slash \\N \"quoted\" é😀"
		b.load(2, line(1, nasty, at(1)), line(2, "", at(1)))
		if got := b.name(1); got != nasty {
			t.Errorf("name is %q, want %q", got, nasty)
		}
		if got := b.name(2); got != "<null>" {
			t.Errorf("name is %q, want null", got)
		}
		st, err := b.sink.ReadState(t.Context(), "Account")
		if err != nil || st.Loaded != 2 || st.LoadJob != "750" || st.LoadLocator != "" || st.LoadDone != 2 || !st.LoadedAt.IsZero() {
			t.Errorf("state %+v, %v", st, err)
		}
		page := loadHeader + line(1, nasty, at(1)) + line(2, "", at(1)) + line(3, "three", at(1))
		if _, err := b.loadPage(strings.NewReader(page), LoadPosition{Job: "750", Locator: "A", Done: 2, Loaded: 2}); err != nil {
			t.Fatal(err)
		}
		st, err = b.sink.ReadState(t.Context(), "Account")
		if err != nil || st.Loaded != 3 || st.LoadJob != "750" || st.LoadLocator != "A" || st.LoadDone != 3 || !st.LoadedAt.IsZero() {
			t.Errorf("state %+v, %v", st, err)
		}
		if err := b.sink.FinishLoad(t.Context(), b.table, 3); err != nil {
			t.Fatal(err)
		}
		st, err = b.sink.ReadState(t.Context(), "Account")
		if err != nil || st.Loaded != 3 || st.LoadJob != "" || st.LoadLocator != "" || st.LoadDone != 0 || st.LoadedAt.IsZero() {
			t.Errorf("state %+v, %v", st, err)
		}
		b.want("SYNCED", `SELECT DISTINCT _hc_lastop FROM salesforce.account`)
		b.load(0)
	})

	t.Run("KeepsIDsAndLetsTheNewestWin", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 4}, b.change(Event, 1, at(5), "Name", "event"), b.change(Event, 2, at(5), "Name", "event"),
			b.change(Event, 3, at(5), "Name", "event"), b.change(Event, 4, at(5), "Name", "same", "Amount__c", 1.5))
		row := b.rowID(2)
		before := b.one(`SELECT xmin FROM salesforce.account WHERE sfid = $1`, id(4))
		b.load(5, line(1, "load", at(4)), line(2, "load", at(6)), line(3, "load", at(5)), line(4, "same", at(5)), line(5, "load", at(1)))
		for n, want := range map[int]string{1: "event", 2: "load", 3: "event", 4: "same", 5: "load"} {
			if got := b.name(n); got != want {
				t.Errorf("record %d is %q, want %q", n, got, want)
			}
		}
		if got := b.rowID(2); got != row {
			t.Errorf("row %s became %s", row, got)
		}
		b.want(before, `SELECT xmin FROM salesforce.account WHERE sfid = $1`, id(4))
		if got := b.reason(3); got != ReasonEqual {
			t.Errorf("mark of the equal stamp is %q", got)
		}
		// A load that began long after that second is right.
		if err := b.sink.WriteState(t.Context(), "Account", func(s *State) { s.LoadStarted = at(5).Add(time.Hour) }); err != nil {
			t.Fatal(err)
		}
		b.load(1, line(3, "load", at(5)))
		if got := b.name(3); got != "load" {
			t.Errorf("record 3 is %q, want load", got)
		}
	})

	t.Run("HoldsUnsentChanges", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "app"))
		b.entry("NEW", "UPDATE", b.rowID(1), id(1))
		b.load(2, line(1, "load", at(2)), line(2, "load", at(2)))
		if name, reason := b.name(1), b.reason(1); name != "app" || reason != ReasonHeld {
			t.Errorf("name %q, mark %q", name, reason)
		}
	})

	t.Run("ParksWhatPostgresRefuses", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		var lines []string
		for i := range 100 {
			lines = append(lines, line(i, "fine", at(1)))
		}
		lines[7] = line(7, strings.Repeat("secret", 30), at(1))
		lines[50] = line(50, "nul \x00", at(1))
		lines[51] = line(51, "bad \xff", at(1))
		lines[99] = strings.Replace(line(99, "x", at(1)), "1.50", "secret", 1)
		lines[98] = strings.Replace(line(98, "gone", at(1)), `"false"`, `"true"`, 1)
		b.load(100, lines...)
		b.want("96", `SELECT count(*) FROM salesforce.account`)
		b.want("bad \ufffd", `SELECT name FROM salesforce.account WHERE sfid = $1`, id(51))
		b.want("22001,22021,22P02", `SELECT string_agg(code, ',' ORDER BY sfid) FROM hcbridge.read_error WHERE message NOT LIKE '%secret%'`)
	})

	t.Run("FindsTheRecordThatATriggerRefuses", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`ALTER TABLE salesforce.account ADD CHECK (name <> 'checked')`)
		b.load(3, line(1, "a", at(1)), line(2, "checked", at(1)), line(3, "c", at(1)))
		b.want(id(2), `SELECT sfid FROM hcbridge.read_error JOIN hcbridge.mark USING (sfid) WHERE code = '23514' AND reason = 'parked'`)
		b.want("2", `SELECT count(*) FROM salesforce.account`)
	})

	t.Run("WritesNothingOfAPageThatIsCutOff", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		lines := []string{loadHeader}
		for i := range 2000 {
			lines = append(lines, line(i, "x", at(1)))
		}
		text := strings.Join(lines, "")
		lost := errors.New("connection lost")
		for _, in := range []io.Reader{
			io.MultiReader(strings.NewReader(text), iotest.ErrReader(lost)),
			strings.NewReader(text + `"half a rec`),
			strings.NewReader(text + "\"short\"\n"),
		} {
			if _, err := b.loadPage(in, LoadPosition{Job: "750"}); err == nil {
				t.Error("a broken page was loaded")
			}
		}
		b.want("0", `SELECT (SELECT count(*) FROM salesforce.account) + (SELECT count(*) FROM hcbridge.object)`)
		_, err := b.loadPage(io.MultiReader(strings.NewReader(text), iotest.ErrReader(lost)), LoadPosition{})
		if !errors.Is(err, lost) {
			t.Errorf("got %v, want the stream's own error", err)
		}
		if _, err := b.loadPage(strings.NewReader(""), LoadPosition{}); err == nil {
			t.Error("a page without header was loaded")
		}
		b.load(1, line(1, "x", at(1))) // the connection is usable
	})

	t.Run("LeavesColumnsAloneThatItDoesNotHave", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "old", "Ext__c", "kept"))
		csv := "Id,Name,SystemModstamp\n" + id(1) + ",new,2024-05-01T09:00:00.000Z\n"
		if _, err := b.loadPage(strings.NewReader(csv), LoadPosition{}); err != nil {
			t.Fatal(err)
		}
		b.want("kept", `SELECT ext__c FROM salesforce.account WHERE name = 'new'`)
	})
}

// generator writes n lines without holding them.
type generator struct {
	n, at int
	buf   []byte
	peak  uint64
}

func (g *generator) Read(p []byte) (int, error) {
	if len(g.buf) == 0 {
		if g.at == g.n {
			return 0, io.EOF
		}
		if g.at == 0 {
			g.buf = append(g.buf, loadHeader...)
		}
		for range 500 {
			g.buf = append(g.buf, line(g.at, "a name of ordinary length", at(g.at%60))...)
			if g.at++; g.at == g.n {
				break
			}
		}
		if g.at%10000 == 0 {
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			g.peak = max(g.peak, mem.HeapInuse)
		}
	}
	n := copy(p, g.buf)
	g.buf = g.buf[n:]
	return n, nil
}

// Not parallel: it measures the memory of the process.
func TestLoadNeedsConstantMemory(t *testing.T) { //nolint:paralleltest // see above
	b := setup(t, account())
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that the heap shows what is in use
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	in := &generator{n: 200_000} // 17 MB of CSV
	rows, err := b.loadPage(in, LoadPosition{})
	if err != nil || rows != 200_000 {
		t.Fatalf("loaded %d, %v", rows, err)
	}
	b.want("200000", `SELECT count(*) FROM salesforce.account`)
	if grown := int64(in.peak) - int64(before.HeapInuse); grown > 12<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}
