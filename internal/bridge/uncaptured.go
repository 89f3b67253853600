package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/outbox"
	"hcbridge/pgsink"
)

//go:embed sql/left.sql
var leftSQL string

// What is said of tables whose objects were taken out of the configuration. They have
// lost their triggers: what is taken out on purpose must not fill a log for ever.
const (
	leftText   = "tables that were mapped and are not now: "
	leftMeans  = "they are not kept in step, and what the app changes in them is not captured"
	leftRemedy = "map their objects again, or drop or rename the tables if they are not wanted any more"
)

// querier is a connection, a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// isMapped reports whether table belongs to one of objects.
func isMapped(objects []config.Object, table string) bool {
	return slices.ContainsFunc(objects, func(o config.Object) bool { return pgsink.TableName(o.Name) == table })
}

// left lists the tables of objects that were mapped once and are not now, whether or not
// they are there.
func left(all map[string]known, objects []config.Object) []string {
	var tables []string
	for object, k := range all {
		if table := pgsink.TableName(object); len(k.fields) > 0 && !isMapped(objects, table) {
			tables = append(tables, table)
		}
	}
	return tables
}

// present returns those of tables that are in schema, sorted.
func present(ctx context.Context, db querier, schema string, tables []string) ([]string, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	rows, err := db.Query(ctx, leftSQL, schema, tables)
	if err == nil {
		tables, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("tables that are not mapped any more: %w", err)
	}
	return tables, nil
}

// captured lists the tables with triggers, before triggers are made for list, and tells of
// those of list that had been mapped and have none. That is before they are made, so
// that no crash forgets it.
func (s *session) captured(ctx context.Context, list ...*mapping) ([]string, error) {
	tables, err := outbox.Captured(ctx, s.pool, s.cfg.Schema)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if m.known && m.cfg.Access == accessReadWrite && !slices.Contains(tables, m.table.Name) {
			s.miss(m.cfg.Name, []string{"all triggers of " + m.table.Name})
		}
	}
	return tables, nil
}

// miss tells that changes of an object were not captured for a while, for want of what
// was lost, and has it compared.
func (s *session) miss(object string, lost []string) {
	if _, told := s.missed.LoadOrStore(object, true); told {
		return
	}
	s.log.Warn().Str("component", "bridge").Str("event", "capture_repaired").Str("object", object).Strs("lost", lost).
		Msg("made again; what the app changed meanwhile was not captured, hcbridge verify shows it")
}

// leave tells of tables that had triggers and have none any more.
func (s *session) leave(captured []string) {
	tables := slices.DeleteFunc(captured, func(table string) bool { return isMapped(s.cfg.Objects, table) })
	if len(tables) > 0 {
		s.log.Warn().Str("component", "bridge").Str("event", "capture_ended").Strs("tables", tables).
			Msg("not mapped any more: what the app changes in these tables is not captured from now on. Map their objects again if they are wanted")
	}
}

// compareMissed tells how the sides of o differ after a while in which changes were not
// captured. Nothing is changed: which side is right only a person knows. It must come
// before any other comparison, which takes Salesforce to be right, and after the first poll,
// which brings what is just late.
func (s *session) compareMissed(ctx context.Context, o *object, log zerolog.Logger) (done bool, err error) {
	if _, missed := s.missed.Load(o.cfg.Name); !missed {
		return true, nil
	}
	if o.reloading.Load() || !o.polled.Load() {
		return false, nil
	}
	kinds := map[pgsink.DiffKind]int{}
	said := time.Now()
	err = s.reader.Verify(ctx, o.poll, func(read, total int64) {
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			log.Info().Str("event", "comparing").Int64("rows", read).Int64("of", total).Msg("comparing all records")
		}
	}, func(d pgsink.Difference) error {
		kinds[d.Kind]++
		return nil
	})
	if err == nil && len(kinds) > 0 {
		err = s.sink.WriteState(ctx, o.cfg.Name, func(state *pgsink.State) {
			if state.FullMark.Unix() != 0 { // else a comparison of everything is under way, or wanted
				state.FullMark = s.sf.ServerTime() // there must be time to decide
			}
		})
	}
	if err != nil {
		return false, err
	}
	s.missed.Delete(o.cfg.Name)
	if len(kinds) == 0 {
		log.Info().Str("event", "capture_compared").Msg("both sides are equal: nothing was missed while changes were not captured")
		return true, nil
	}
	log.Warn().Str("event", "capture_compared").Int("unsent", kinds[pgsink.DiffUnsent]).Int("values", kinds[pgsink.DiffValues]+kinds[pgsink.DiffRefused]).
		Int("no_row", kinds[pgsink.DiffNoRow]).Int("no_record", kinds[pgsink.DiffNoRecord]).
		Msg("the sides differ after changes were not captured: hcbridge verify " + o.cfg.Name + " shows where, hc_capture_insert_from_row and hc_capture_update_from_row send rows as they are now")
	return true, nil
}

// missedBy has the objects compared some of whose triggers are among lost, which names
// them as [outbox.Capture] does.
func (s *session) missedBy(lost []string) {
	for _, o := range s.objects {
		own := func(name string) bool { return strings.HasSuffix(name, " of "+o.table.Name) }
		if o.cfg.Access == accessReadWrite && slices.ContainsFunc(lost, own) {
			s.missed.Store(o.cfg.Name, true)
		}
	}
}
