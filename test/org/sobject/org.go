package sobject

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// firstID is where ids start to count, so that they have letters of both
// cases as real ones do.
const firstID = 47_806_021_353

// Org executes transactions against a store, one after another, and tells
// watchers what each of them did. Its methods are safe for concurrent use.
type Org struct {
	store Store
	clock func() time.Time

	id, admin, integration string

	mu       sync.Mutex // serialises transactions; guards what follows
	minted   map[string]uint64
	numbers  map[*Field]int
	nonces   uint64
	seq      uint64
	triggers []func(*Draft) error
	runAgain bool
	access   func(userID string, ob *Object, f *Field) (read, write bool)

	deliver  sync.Mutex // held while watchers run, taken in commit order
	watchers []func(Tx)

	log       sync.Mutex
	deletions map[string][]Deletion // by object name, oldest first
}

// NewOrg returns an org on store. An empty store gets the [Standard] objects;
// then an Organization and two users are created. clock is the org's time,
// nil means [time.Now].
func NewOrg(store Store, clock func() time.Time) *Org {
	if clock == nil {
		clock = time.Now
	}
	o := &Org{store: store, clock: clock, minted: map[string]uint64{}, numbers: map[*Field]int{}, deletions: map[string][]Deletion{}}
	if len(store.Objects()) == 0 {
		for _, ob := range Standard() {
			store.Define(ob)
		}
	}
	o.seed()
	return o
}

func (o *Org) seed() {
	o.mu.Lock() // publish unlocks
	t := o.begin(Origin{})
	t.internal = true
	add := func(object string, fields map[string]any) string {
		if o.store.Object(object) == nil {
			return ""
		}
		return t.run(&Op{Kind: Insert, Object: object, Fields: fields}).ID
	}
	person := func(first, last, name string) string {
		return add("User", map[string]any{
			"FirstName": first, "LastName": last, "Username": name + "@hc.example", "Email": name + "@hc.example", "Alias": name[:5],
		})
	}
	o.admin = person("Ada", "Admin", "admin")
	t.pending.Origin.UserID = o.admin
	o.integration = person("Ingo", "Integration", "integration")
	o.id = add("Organization", map[string]any{
		"Name": "Hydraulic Couplings Inc.", "OrganizationType": "Developer Edition", "InstanceName": "EU99",
	})
	o.publish(t)
}

// Store returns the org's store.
func (o *Org) Store() Store { return o.store }

// Now returns the org's time.
func (o *Org) Now() time.Time { return o.clock() }

// ID returns the 18-character id of the Organization.
func (o *Org) ID() string { return o.id }

// Admin returns the id of the user who stands for the people in the org.
func (o *Org) Admin() string { return o.admin }

// Integration returns the id of the user that integrations log in as.
func (o *Org) Integration() string { return o.integration }

// SetAccess installs field-level security for writes: for a field that the
// user cannot read, writes say that it does not exist, for one that is
// read-only, that it cannot be written. nil allows everything.
func (o *Org) SetAccess(fn func(userID string, ob *Object, f *Field) (read, write bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.access = fn
}

func (o *Org) allowed(userID string, ob *Object, f *Field) (read, write bool) {
	if o.access == nil {
		return true, true
	}
	return o.access(userID, ob, f)
}

// Watch adds a function that is called with every transaction, in commit
// order, before Commit returns. It may read the org but must not Commit.
func (o *Org) Watch(fn func(Tx)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deliver.Lock()
	defer o.deliver.Unlock()
	o.watchers = append(o.watchers, fn)
}

// Deletions returns the delete log of an object for from <= At <= to. An
// entry stays when its record is purged or undeleted.
func (o *Org) Deletions(object string, from, to time.Time) []Deletion {
	ob := o.store.Object(object)
	if ob == nil {
		return nil
	}
	o.log.Lock()
	defer o.log.Unlock()
	var out []Deletion
	for _, d := range o.deletions[ob.Name] {
		if !d.At.Before(from) && !d.At.After(to) {
			out = append(out, d)
		}
	}
	return out
}

// mint returns the next id of a key prefix. Ids of refused creates are lost.
func (o *Org) mint(prefix string) string {
	n := o.minted[prefix]
	o.minted[prefix] = n + 1
	return MintID(prefix, firstID+n)
}

func (o *Org) nonce() uint64 {
	o.nonces++
	return o.nonces
}

// number returns the next value of an auto-number field.
func (o *Org) number(ob *Object, f *Field) string {
	key := ob.Field(f.Name)
	o.numbers[key]++
	open, end := strings.IndexByte(f.AutoNumberFormat, '{'), strings.IndexByte(f.AutoNumberFormat, '}')
	if open < 0 || end < open {
		return f.AutoNumberFormat + strconv.Itoa(o.numbers[key])
	}
	n := strconv.Itoa(o.numbers[key])
	if pad := end - open - 1 - len(n); pad > 0 {
		n = strings.Repeat("0", pad) + n
	}
	return f.AutoNumberFormat[:open] + n + f.AutoNumberFormat[end+1:]
}
