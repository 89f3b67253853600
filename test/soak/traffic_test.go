package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/rig"
)

const (
	perSecond = 20  // changes each way
	records   = 200 // of each object at the start
)

// kind is an object that is changed: its required fields, the field that people in
// Salesforce change, the one that the app does, and one that both do.
type kind struct {
	object                 string
	required               map[string]any
	theirs, ours, contends string
	key                    string // external id
}

var kinds = []kind{
	{"Account", map[string]any{"Name": "Soak"}, "Site", "Phone", "AccountNumber", "External_Id__c"},
	{"Contact", map[string]any{"LastName": "Soak"}, "Title", "Phone", "Department", "External_Id__c"},
	{"Lead", map[string]any{"LastName": "Soak", "Company": "Soak"}, "Title", "Phone", "MobilePhone", ""},
	{"Opportunity", map[string]any{"Name": "Soak", "StageName": "Prospecting", "CloseDate": "2030-01-31"}, "NextStep", "Description", "NextStep", ""},
	{"Invoice__c", map[string]any{"Name": "Soak"}, "Name", "Notes__c", "Notes__c", "External_Id__c"},
}

func settings() []string {
	var objects []string
	var list []string
	for _, k := range kinds {
		objects = append(objects, k.object)
		env := "HC_OBJECT_" + strings.ToUpper(k.object)
		list = append(list, env+"_ACCESS=read_write")
		if k.key != "" {
			list = append(list, env+"_EXTERNAL_ID="+k.key)
		}
	}
	return append(list, "HC_OBJECTS="+strings.Join(objects, ","))
}

// traffic changes both sides at a steady pace, except while it rests.
type traffic struct {
	*rig.Rig

	quiet   sync.RWMutex // held for writing while traffic rests
	in, out atomic.Int64
}

func (tr *traffic) fill() {
	for _, k := range kinds {
		_, err := tr.SF.InsertMany(k.object, func(yield func(map[string]any) bool) {
			for range records {
				if !yield(k.required) {
					return
				}
			}
		})
		tr.Must(err)
	}
}

// run makes changes until ctx ends. A change that is refused fails the test.
func (tr *traffic) run(ctx context.Context, each func(random *rand.Rand, n int) error, count *atomic.Int64, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tr.quiet.RLock()
		err := each(random, n)
		tr.quiet.RUnlock()
		if err != nil && ctx.Err() == nil {
			tr.T.Errorf("change %d: %v", n, err)
		}
		count.Add(1)
	}
}

// people change records in Salesforce: of a hundred changes three make a record, and
// nine delete one if there are more than at the start, so that the number stays.
func (tr *traffic) people(random *rand.Rand, n int) error {
	k := kinds[random.IntN(len(kinds))]
	list := tr.SF.Records(k.object)
	what := random.IntN(100)
	if what < 3 || len(list) < records/2 {
		_, err := tr.SF.Insert(k.object, k.required)
		return err
	}
	id := list[random.IntN(len(list))].ID
	// Somebody else, the bridge, may have deleted it meanwhile.
	if what < 12 && len(list) > records {
		_ = tr.SF.Delete(k.object, id)
		return nil
	}
	field := k.theirs
	if what < 22 {
		field = k.contends
	}
	_ = tr.SF.Update(k.object, id, map[string]any{field: fmt.Sprintf("theirs %d", n)})
	return nil
}

// app changes rows in Postgres: of a hundred transactions three make a row and one
// deletes one, so fewer than the guard against mass deletes asks about.
func (tr *traffic) app(random *rand.Rand, n int) error {
	k := kinds[random.IntN(len(kinds))]
	table := "salesforce." + strings.ToLower(k.object)
	pick := "sfid = (SELECT sfid FROM " + table + " WHERE sfid IS NOT NULL OFFSET floor($1::float8 * (SELECT count(*) FROM " + table + " WHERE sfid IS NOT NULL)) LIMIT 1)"
	what, at := random.IntN(100), random.Float64()
	var err error
	switch {
	case what < 3:
		var columns, values []string
		for name, value := range k.required {
			columns, values = append(columns, strings.ToLower(name)), append(values, fmt.Sprintf("'%v'", value))
		}
		if k.key != "" {
			columns, values = append(columns, strings.ToLower(k.key)), append(values, fmt.Sprintf("'soak-%d'", n))
		}
		_, err = tr.Pool.Exec(context.Background(), "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(values, ", ")+")")
	case what < 4:
		_, err = tr.Pool.Exec(context.Background(), "DELETE FROM "+table+" WHERE "+pick, at)
	default:
		column := k.ours
		if what < 14 {
			column = k.contends
		}
		_, err = tr.Pool.Exec(context.Background(), "UPDATE "+table+" SET "+strings.ToLower(column)+" = $2 WHERE "+pick, at, fmt.Sprintf("ours %d", n))
	}
	return err
}

// trouble is what happens to any such process now and then: each in turn, spread
// over the run so that all happen at least twice.
func (tr *traffic) trouble(ctx context.Context, length time.Duration) {
	lose := func(path string) func() {
		return func() { tr.SF.Fault(org.Fault{Method: "POST", Path: path, Verb: org.FailAfterWrite, Times: 1}) }
	}
	list := []func(){
		lose("/composite"), tr.SF.Forget, lose("/composite"), tr.SF.RevokeTokens, lose("/query"), tr.SF.Stream().DisconnectAll,
		lose("/composite"), tr.SF.Stream().RotateCookies,
		func() {
			_, err := tr.Pool.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge' ORDER BY random() LIMIT 1")
			if err != nil && ctx.Err() == nil {
				tr.T.Error(err)
			}
		},
	}
	tick := time.NewTicker(max(time.Second, min(30*time.Second, length/time.Duration(3*len(list)))))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tr.quiet.RLock() // a fault every second, as of a short run, would keep both sides apart for ever
			list[n%len(list)]()
			tr.quiet.RUnlock()
		}
	}
}
