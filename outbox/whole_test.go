package outbox

import "testing"

// Mappers save whole objects as they once read them. What an old object holds of
// the bridge's own columns neither unties the row from its record nor dates it
// forward, and a save of nothing new leaves the row as it was.
func TestWholeObjectsAreSaved(t *testing.T) {
	t.Parallel()
	shown := `SELECT concat_ws('|', name, sfid, systemmodstamp, _hc_lastop, _hc_err) FROM salesforce.account`
	begin := func(t *testing.T, lastOp, err string) *bundle {
		t.Helper()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.account (name, sfid, systemmodstamp) VALUES ('a', '001', '2026-01-01 00:00:00')`)
		b.hex(`UPDATE salesforce.account SET _hc_lastop = '` + lastOp + `', _hc_err = ` + err)
		return b
	}

	t.Run("with a change", func(t *testing.T) {
		t.Parallel()
		b := begin(t, "SYNCED", "NULL")
		b.exec(`UPDATE salesforce.account SET name = 'b', sfid = NULL, systemmodstamp = '2026-01-01 05:00:00', _hc_lastop = NULL, _hc_err = NULL`)
		b.want("row", b.one(shown), "b|001|2026-01-01 00:00:00|PENDING")
		b.want("values", b.one(`SELECT sfid || ' ' || values FROM salesforce._trigger_log`), `001 "name"=>"b"`)
		b.want("log", b.live(), "UPDATE/NEW")
	})
	t.Run("with nothing new", func(t *testing.T) {
		t.Parallel()
		b := begin(t, "SYNCED", "NULL")
		b.exec(`UPDATE salesforce.account SET name = 'a', sfid = NULL, systemmodstamp = NULL, _hc_lastop = 'PENDING', _hc_err = 'x'`)
		b.want("row", b.one(shown), "a|001|2026-01-01 00:00:00|SYNCED")
		b.want("log", b.live(), "UPDATE/IGNORE")
	})
	t.Run("with nothing new, after a refusal", func(t *testing.T) {
		t.Parallel()
		b := begin(t, "FAILED", `'{"code":"X"}'`)
		b.exec(`UPDATE salesforce.account SET name = 'a', _hc_lastop = NULL, _hc_err = NULL`)
		b.want("row", b.one(shown), `a|001|2026-01-01 00:00:00|FAILED|{"code":"X"}`)
	})
	t.Run("a row is still tied to its record by hand", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.account (name) VALUES ('a')`)
		b.exec(`UPDATE salesforce.account SET sfid = '002'`)
		b.want("row", b.one(shown), "a|002|PENDING")
	})
}
