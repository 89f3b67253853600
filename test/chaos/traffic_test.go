package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/check"
	"hcbridge/test/org"
)

// kind is an object that both sides change.
type kind struct {
	object   string
	required []string // text fields that a record must have
	theirs   string   // what only people in the org change
	ours     string   // what only the app changes
	both     string
	mark     string // column that tells which insert of the app made a record
	parent   string // field that names an account
}

var kinds = []kind{
	{"Account", []string{"Name"}, "Site", "Phone", "AccountNumber", "fax", ""},
	{"Contact", []string{"LastName"}, "Title", "Phone", "Department", "fax", "AccountId"},
	{"Invoice__c", []string{"Name"}, "Status__c", "Notes__c", "Amount__c", "name", "Account__c"},
}

func (k kind) record(random *rand.Rand) map[string]any {
	fields := map[string]any{}
	for _, f := range k.required {
		fields[f] = word(random)
	}
	fields[k.theirs], fields[k.both] = k.value(random, k.theirs), k.value(random, k.both)
	return fields
}

// value is a random one for a field, seldom none.
func (k kind) value(random *rand.Rand, field string) any {
	if random.IntN(12) == 0 {
		return nil
	}
	switch field {
	case "Status__c":
		return []string{"Draft", "Open", "Paid", "Void"}[random.IntN(4)]
	case "Amount__c":
		return fmt.Sprintf("%d.%02d", random.IntN(100_000), random.IntN(100))
	}
	return word(random)
}

// word is a text that is hardly made twice.
func word(random *rand.Rand) string {
	return fmt.Sprintf("%s%d", []string{"w", "ö'", `"q\`, "zwei ", "漢"}[random.IntN(5)], random.Uint32())
}

// people change records in Salesforce until ctx ends. What the org refuses, such as
// an update of a deleted record, has not happened. Where an object is only polled, the
// loser of a merge is not taken back: nothing would tell of the merge then but the
// weekly comparison of everything (see package poll).
func (w *world) people(ctx context.Context) {
	random := w.plan.random(1)
	merged := map[string]bool{}
	var known [][]string
	for range kinds {
		known = append(known, nil)
	}
	for pause(ctx, random, w.plan.pace) {
		by := w.SF.As(org.DefaultOther)
		if w.plan.bulkLoads && random.IntN(5) == 0 {
			by = w.SF.AsBulk("loader@example.com")
		}
		n := random.IntN(len(kinds))
		k := kinds[n]
		if len(known[n]) == 0 || random.IntN(8) == 0 {
			known[n] = known[n][:0]
			for _, r := range w.SF.Records(k.object) {
				known[n] = append(known[n], r.ID)
			}
		}
		ids := known[n]
		what := random.IntN(100)
		if len(ids) < 5 || what < 10 {
			if id, err := by.Insert(k.object, k.record(random)); err == nil {
				known[n] = append(ids, id)
			}
			continue
		}
		id, other := ids[random.IntN(len(ids))], ids[random.IntN(len(ids))]
		w.several.Store(what < 24)
		switch {
		case what < 16:
			_ = by.Delete(k.object, id)
		case what < 22 && !(merged[id] && w.plan.modes[k.object] == "polling"):
			_ = by.Undelete(k.object, id)
		case what < 24 && k.object != "Invoice__c":
			_ = by.Merge(k.object, id, other)
			merged[other] = true
		default:
			field := k.theirs
			if random.IntN(3) == 0 {
				field = k.both
			}
			_ = by.Update(k.object, id, map[string]any{field: k.value(random, field)})
		}
		w.several.Store(false)
	}
}

// writer is one of the app's sessions: transactions of one to three writes, some of
// which take their time, so that ids of the log become visible out of their order.
func (w *world) writer(ctx context.Context, number int) {
	random := w.plan.random(uint64(2 + number))
	for n := 0; pause(ctx, random, w.plan.pace*time.Duration(w.plan.writers)); n++ {
		w.database.RLock()
		err := w.transaction(ctx, random, fmt.Sprintf("%d-%d-%d", w.plan.seed%100_000, number, n))
		w.database.RUnlock()
		// A row may have gone since it was chosen; what else fails the checker tells.
		if err != nil && ctx.Err() == nil && !errors.Is(err, pgx.ErrNoRows) {
			w.T.Logf("the app: %v", err)
		}
	}
}

func (w *world) transaction(ctx context.Context, random *rand.Rand, mark string) error {
	// A change that was begun is ended, whatever else ends.
	ctx = context.WithoutCancel(ctx)
	what, choice, long := random.IntN(100), random.IntN(len(kinds)), time.Duration(random.IntN(120))*time.Millisecond
	values := []any{kinds[choice].value(random, kinds[choice].ours), kinds[choice].value(random, kinds[choice].both)}
	picks := []float64{random.Float64(), random.Float64(), random.Float64()}
	slow := random.IntN(6) == 0
	fresh := kinds[choice].row(random, mark, w.plan.keyed)
	child := kinds[1].row(random, mark+"c", w.plan.keyed)
	parent := kinds[0].row(random, mark+"p", w.plan.keyed)
	return w.app.Do(ctx, func(tx *check.Tx) error { //nolint:wrapcheck // the checker's own words
		k := kinds[choice]
		defer func() {
			if slow {
				time.Sleep(long) // what an app does between its statements
			}
		}()
		switch {
		case what < 12 && w.plan.keyed && k.parent != "":
			// A parent and its child, which names it by its key.
			if _, err := tx.Insert(ctx, "Account", parent); err != nil {
				return err
			}
			child["account__external_id__c"] = parent["external_id__c"]
			_, err := tx.Insert(ctx, "Contact", child)
			return err
		case what < 25:
			if k.parent != "" {
				if id, ok := w.sfid(ctx, "account", picks[0]); ok {
					fresh[strings.ToLower(k.parent)] = id
				}
			}
			_, err := tx.Insert(ctx, k.object, fresh)
			return err
		case what < 30:
			id, ok := w.row(ctx, k.object, picks[0])
			if !ok {
				return nil
			}
			return tx.Delete(ctx, k.object, id)
		default:
			var ids []int64
			for i := range 1 + what%3 {
				if id, ok := w.row(ctx, k.object, picks[i]); ok {
					ids = append(ids, id)
				}
			}
			sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] }) // or writers wait for each other in a circle
			for _, id := range ids {
				columns := map[string]any{strings.ToLower(k.ours): values[0]}
				if what%4 == 0 {
					columns = map[string]any{strings.ToLower(k.both): values[1]}
				}
				if err := tx.Update(ctx, k.object, id, columns); err != nil {
					return err
				}
			}
			return nil
		}
	})
}

// row is what the app inserts.
func (k kind) row(random *rand.Rand, mark string, keyed bool) map[string]any {
	row := map[string]any{}
	for _, f := range k.required {
		row[strings.ToLower(f)] = word(random)
	}
	row[strings.ToLower(k.ours)] = k.value(random, k.ours)
	row[k.mark] = "mark " + mark
	if keyed {
		row["external_id__c"] = "key " + mark
	}
	return row
}

func (w *world) row(ctx context.Context, object string, at float64) (id int64, ok bool) {
	table := "salesforce." + strings.ToLower(object)
	err := w.Pool.QueryRow(ctx, "SELECT id FROM "+table+" ORDER BY id OFFSET floor($1::float8 * (SELECT count(*) FROM "+table+")) LIMIT 1", at).Scan(&id)
	return id, err == nil
}

func (w *world) sfid(ctx context.Context, table string, at float64) (id string, ok bool) {
	err := w.Pool.QueryRow(ctx, "SELECT sfid FROM salesforce."+table+" WHERE sfid IS NOT NULL ORDER BY id OFFSET floor($1::float8 * (SELECT count(*) FROM salesforce."+table+" WHERE sfid IS NOT NULL)) LIMIT 1", at).Scan(&id)
	return id, err == nil
}

// pause waits for as long as somebody thinks, on average d, and reports false when
// ctx has ended.
func pause(ctx context.Context, random *rand.Rand, d time.Duration) bool {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(2*d) + 1)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
