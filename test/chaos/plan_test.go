package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// plan is what the seed decides.
type plan struct {
	seed   uint64
	length time.Duration // of the changes and faults

	algorithm string
	keyed     bool              // inserts of the app have an external id that is mapped as such
	modes     map[string]string // by object
	pageSize  int               // of the org's query answers
	records   int               // of each object at the start
	writers   int               // sessions of the app
	pace      time.Duration     // between changes, on average
	bulkLoads bool              // of people: changes without events
	ahead     time.Duration     // of the org's clock at the start
	ends      bool              // with a kill
	ages      bool              // minutes pass in the end, see the package comment
	backlog   int               // rows that the app changes at once, in the middle

	steps []step
}

// step is a fault at its time.
type step struct {
	at, lasts time.Duration
	text      string
	begin     func(*world) func()
}

// random is a source of chance of its own for each purpose.
func (p plan) random(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(p.seed, purpose)) }

func newPlan(seed uint64, length time.Duration) plan {
	p := plan{seed: seed, length: length}
	random := p.random(100)
	p.algorithm = of(random, "ordered", "merged")
	p.keyed = random.IntN(2) == 0
	p.modes = map[string]string{}
	for _, k := range kinds {
		p.modes[k.object] = of(random, "streaming", "streaming", "streaming", "cdc", "polling")
	}
	p.pageSize = of(random, 0, 0, 7)
	p.records = 10 + random.IntN(40)
	p.writers = 1 + random.IntN(4)
	p.pace = time.Duration(10+random.IntN(50)) * time.Millisecond
	p.bulkLoads = random.IntN(2) == 0
	p.ahead = of(random, 0, 0, time.Hour, -time.Hour, 3*time.Second, -3*time.Second)
	p.ends = random.IntN(3) == 0
	p.ages = !p.keyed
	if random.IntN(20) == 0 {
		p.backlog = 2500
	}
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	// Half of the runs have many small faults, the others some that last.
	every := of(random, 150*time.Millisecond, 300*time.Millisecond, 700*time.Millisecond)
	for at := time.Duration(0); at < length; at += time.Duration(random.Int64N(int64(2 * every))) {
		n := random.IntN(total)
		var f fault
		for _, f = range faults {
			if n -= f.weight; n < 0 {
				break
			}
		}
		text, begin := f.plan(random)
		p.steps = append(p.steps, step{at: at, lasts: time.Duration(random.Int64N(int64(2 * time.Second))), text: text, begin: begin})
		p.ages = p.ages || f.ages
	}
	return p
}

func (p plan) settings() []string {
	list := []string{
		"HC_OBJECTS=" + strings.Join(objects(), ","), "HC_WRITE_ALGORITHM=" + p.algorithm, "HC_POLL_INTERVAL=2s",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Site,Phone,AccountNumber,Fax,External_Id__c",
		"HC_OBJECT_CONTACT_FIELDS=LastName,FirstName,Title,Phone,Department,Fax,AccountId,External_Id__c,Account.External_Id__c",
		"HC_OBJECT_INVOICE__C_FIELDS=Name,Status__c,Notes__c,Amount__c,Account__c,External_Id__c",
	}
	for _, k := range kinds {
		env := "HC_OBJECT_" + strings.ToUpper(k.object)
		list = append(list, env+"_ACCESS=read_write", env+"_MODE="+p.modes[k.object])
		if p.keyed {
			list = append(list, env+"_EXTERNAL_ID=External_Id__c")
		}
	}
	return list
}

// captured are the objects in cdc mode.
func (p plan) captured() (names []string) {
	for _, k := range kinds {
		if p.modes[k.object] == "cdc" {
			names = append(names, k.object)
		}
	}
	return names
}

func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s, keyed %t, %v, pages of %d, %d records, %d writers every %s, bulk loads %t, clock %s ahead, backlog %d, ends with a kill %t, minutes pass %t\n",
		p.seed, p.algorithm, p.keyed, p.modes, p.pageSize, p.records, p.writers, p.pace, p.bulkLoads, p.ahead, p.backlog, p.ends, p.ages)
	for _, s := range p.steps {
		fmt.Fprintf(&b, "  %7s for %7s  %s\n", s.at.Round(time.Millisecond), s.lasts.Round(time.Millisecond), s.text)
	}
	return b.String()
}
