package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
)

// cutOff answers some queries, and then none in time.
type cutOff struct {
	*pgxpool.Pool
	left int
}

func (c *cutOff) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if c.left--; c.left < 0 {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		ctx = ended
	}
	return c.Pool.QueryRow(ctx, sql, args...)
}

// However many rows there are to be read again, what is marked stays so, and the next
// try goes on from there.
func TestRereadInPages(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	const rows = rereadPage*5/2 + 1
	_, err := db.pool.Exec(t.Context(), `INSERT INTO salesforce.account (sfid, name, systemmodstamp)
		SELECT '001' || lpad(n::text, 15, '0'), 'a', CASE WHEN n % 100 = 0 THEN timestamp '2026-01-01' ELSE timestamp '2026-01-02 12:00' END FROM generate_series(1, $1::int) AS n`, rows)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), db.pool, nil)
	st := &stream{s: s}
	ch := &channel{name: "/topic/hc_Account", obj: newObject(db.mappings["Account"])}
	at := time.Date(2026, 1, 2, 12, 0, 4, 0, time.UTC)
	after := ""
	marked := func(want int) {
		t.Helper()
		var n, old int
		err := db.pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE systemmodstamp < '2026-01-02') FROM hcbridge.mark AS m JOIN salesforce.account AS a USING (sfid)
			WHERE m.schema = 'salesforce' AND m.object = 'Account'`).Scan(&n, &old)
		if err != nil || n != want || old != 0 {
			t.Errorf("%d marks, %d of them old, want %d: %v", n, old, want, err)
		}
	}
	if err := st.markSince(t.Context(), &cutOff{db.pool, 1}, ch, at, &after); err == nil {
		t.Error("no error")
	}
	marked(rereadPage)
	again := &cutOff{db.pool, 3}
	if err := st.markSince(t.Context(), again, ch, at, &after); err != nil || again.left != 0 {
		t.Errorf("%d pages left: %v", again.left, err)
	}
	marked(rows - rows/100)
}
