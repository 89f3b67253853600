// Package day watches the program through a day in which nothing happens, with a
// clock that runs faster than time: see fastclock. An idle bridge must need few API
// calls, and after a day, with all that expires in one, it must still be awake.
//
// "make day" does it; otherwise it watches for two seconds, to see that it works.
package day

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/test/bench/figure"
	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

func TestDay(t *testing.T) {
	settle, hour, hours := time.Second, time.Second, 2
	if os.Getenv("HCBRIDGE_DAY") != "" {
		settle, hour, hours = 3*time.Hour, time.Hour, 24 // polls come closer together while a bridge gets to know its stream
	}
	objects := []string{"Account", "Contact", "Lead", "Opportunity", "Case"}
	settings := []string{"HC_OBJECTS=" + strings.Join(objects, ","), "HC_LOG_LEVEL=info"}
	for _, o := range objects {
		settings = append(settings, "HC_OBJECT_"+strings.ToUpper(o)+"_ACCESS=read_write")
	}
	r := rig.New(t, settings...)
	id := r.Insert("Account", map[string]any{"Name": "alone"})
	b := r.Start()
	r.Synced()
	time.Sleep(settle)
	before, _ := r.SF.Usage()
	r.SF.ResetCounters()
	for h := range hours {
		time.Sleep(hour)
		now, _ := r.SF.Usage()
		t.Logf("after hour %d: %d calls (%s)", h+1, now-before, kinds(r))
	}
	after, _ := r.SF.Usage()
	each := float64(after-before) / float64(len(objects))
	t.Logf("%.1f calls an object", each)
	if hours == 24 {
		figure.Keep(t, figure.Figure{Job: "API calls", What: "a day of five idle objects with a healthy stream, on a fast clock; naive: a poll every two minutes", Unit: "calls an object", Ours: each, Naive: 720, Goals: []figure.Goal{{AtMost: 5}}})
		if each > 5 {
			t.Errorf("%.1f calls an object in an idle day, more than 5", each)
			for _, one := range r.SF.Requests() {
				if !strings.HasPrefix(one.Path, "/cometd") {
					t.Logf("%s %s %s %.200s", one.At.Format(time.DateTime), one.Method, one.Path, one.Query)
				}
			}
			t.Log(b.Log.Tail(10_000))
		}
	}

	// It still works.
	r.Must(r.SF.Update("Account", id, map[string]any{"Site": "changed after a day"}))
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('written after a day')")
	r.Until("both directions", time.Hour, func() error {
		if n := r.Count("SELECT count(*) FROM salesforce.account WHERE site = 'changed after a day'"); n != 1 {
			return fmt.Errorf("%d rows are changed", n)
		}
		if n := len(r.SF.Records("Contact")); n != 1 {
			return fmt.Errorf("%d contacts have been sent", n)
		}
		return nil
	})
}

func kinds(r *rig.Rig) string {
	var list []string
	for kind, n := range r.SF.Calls() {
		list = append(list, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
