package outbox

import (
	"fmt"
	"maps"
)

// statements is the SQL of one schema, ready to run.
type statements struct {
	glance, window, waiting, sentLately                                                   string
	changes, open, lost, behind, inflight, claim, archive, mark, answered, revive, enlist string
	tidyFailed, tidyIdle, tidyArchive, tidyRequeue, tidyPurge                             string
	attempted, handled, repeated, undone, resend, unanswered, echoed, tidyEcho            string
	rekey, rekeyed                                                                        string
	overtaken, adopted, putAside, attempt, attemptOver, attemptLeft, attemptKept, sweep   string
	log                                                                                   string // its name

	sfids, lock, row, pending, synced, dismissed, reread, known, remove map[string]string // by table
}

// statementsFor renders them. Pure.
func statementsFor(schema string, tables []Table) (s statements, err error) {
	s = statements{sfids: map[string]string{}, lock: map[string]string{}, row: map[string]string{}, pending: map[string]string{}, synced: map[string]string{}, dismissed: map[string]string{}, reread: map[string]string{}, known: map[string]string{}, remove: map[string]string{}}
	s.log = ident(schema, "_trigger_log")
	logData := map[string]any{
		"Log": s.log, "Archive": ident(schema, "_trigger_log_archive"), "Attempt": ident(schema, attemptTable), "Echo": ident(schema, echoTable),
		"Records": "unnest($1::text[], $2::bigint[])", "Most": "$3",
	}
	for file, into := range map[string]*string{
		"window": &s.window, "waiting": &s.waiting, "sent_lately": &s.sentLately,
		"changes": &s.changes, "open": &s.open, "lost": &s.lost, "behind": &s.behind, "inflight": &s.inflight, "claim": &s.claim,
		"archive": &s.archive, "mark": &s.mark, "answered": &s.answered, "revive": &s.revive, "enlist": &s.enlist,
		"tidy_failed": &s.tidyFailed, "tidy_idle": &s.tidyIdle, "tidy_archive": &s.tidyArchive, "tidy_requeue": &s.tidyRequeue, "tidy_purge": &s.tidyPurge,
		"attempted": &s.attempted, "handled": &s.handled, "repeated": &s.repeated, "undone": &s.undone, "resend": &s.resend, "unanswered": &s.unanswered, "echoed": &s.echoed, "tidy_echo": &s.tidyEcho,
		"attempt": &s.attempt, "attempt_over": &s.attemptOver, "attempt_left": &s.attemptLeft, "attempt_kept": &s.attemptKept, "sweep": &s.sweep,
		"rekey": &s.rekey, "rekeyed": &s.rekeyed,
		"overtaken": &s.overtaken, "adopted": &s.adopted, "put_aside": &s.putAside,
	} {
		sql, err := render(file+".sql.tmpl", logData)
		if err != nil {
			return s, err
		}
		*into = sql
	}
	if err := s.renderGlance(logData); err != nil {
		return s, err
	}
	for _, t := range tables {
		data := map[string]any{"Table": ident(schema, t.Name), "Log": logData["Log"]}
		files := map[string]map[string]string{"sfids": s.sfids, "lock": s.lock, "row": s.row, "pending": s.pending, "synced": s.synced, "dismissed": s.dismissed, "reread": s.reread, "known": s.known}
		if c := t.external(); c != nil {
			data["External"], files["remove"] = ident(c.Name), s.remove
		}
		if data["Pending"], err = render("pending.sql.tmpl", data); err != nil {
			return s, err
		}
		if data["Dismissed"], err = render("dismissed.sql.tmpl", data); err != nil {
			return s, err
		}
		for file, into := range files {
			sql, err := render(file+".sql.tmpl", data)
			if err != nil {
				return s, fmt.Errorf("table %s: %w", t.Name, err)
			}
			into[t.Name] = sql
		}
	}
	return s, nil
}

// renderGlance puts together a statement of which two others are parts.
func (s *statements) renderGlance(logData map[string]any) (err error) {
	data := maps.Clone(logData)
	data["Records"], data["Most"] = "records", "(SELECT $1::bigint)"
	for _, part := range []struct {
		name, file string
	}{{"Changes", "changes"}, {"Open", "open"}} {
		if data[part.name], err = render(part.file+".sql.tmpl", data); err != nil {
			return err
		}
	}
	s.glance, err = render("glance.sql.tmpl", data)
	return err
}
