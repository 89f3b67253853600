package bridge

import (
	"context"
	"sync"
	"time"

	"hcbridge/internal/salesforce"
)

// rememberFor is how long the mapping page believes what the org said of an
// object, so that a person who chooses fields does not spend an API call a click.
const rememberFor = time.Minute

// catalog is what an org has.
type catalog interface {
	describer
	DescribeGlobal(ctx context.Context) ([]salesforce.SObject, error)
}

// orgMemory is a catalog that asks for everything once a minute at the most.
// Errors are not kept.
type orgMemory struct {
	sf *salesforce.Client

	mu      sync.Mutex
	objects answered[[]salesforce.SObject]
	fields  map[string]answered[*salesforce.Describe]
}

// answered is an answer and when it came.
type answered[T any] struct {
	value T
	at    time.Time
}

func (a answered[T]) fresh() bool { return !a.at.IsZero() && time.Since(a.at) < rememberFor }

func newOrgMemory(sf *salesforce.Client) *orgMemory {
	return &orgMemory{sf: sf, fields: map[string]answered[*salesforce.Describe]{}}
}

// DescribeGlobal is that of [salesforce.Client].
func (r *orgMemory) DescribeGlobal(ctx context.Context) ([]salesforce.SObject, error) {
	r.mu.Lock()
	have := r.objects
	r.mu.Unlock()
	if have.fresh() {
		return have.value, nil
	}
	list, err := r.sf.DescribeGlobal(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects = answered[[]salesforce.SObject]{list, time.Now()}
	return list, nil
}

// Describe is that of [salesforce.Client].
func (r *orgMemory) Describe(ctx context.Context, object string) (*salesforce.Describe, error) {
	r.mu.Lock()
	have := r.fields[object]
	r.mu.Unlock()
	if have.fresh() {
		return have.value, nil
	}
	d, err := r.sf.Describe(ctx, object)
	if err != nil {
		return nil, err
	}
	r.keep(object, d)
	return d, nil
}

// prepare describes several objects for one API call per 25, so that Describe
// finds them. Those that cannot be described are left for it to ask.
func (r *orgMemory) prepare(ctx context.Context, objects []string) error {
	var missing []string
	r.mu.Lock()
	for _, name := range objects {
		if !r.fields[name].fresh() {
			missing = append(missing, name)
		}
	}
	r.mu.Unlock()
	if len(missing) < 2 {
		return nil
	}
	all, err := r.sf.DescribeAll(ctx, missing)
	if err != nil {
		return err
	}
	for i, d := range all {
		if d.Err == nil {
			r.keep(missing[i], d.Describe)
		}
	}
	return nil
}

// keep remembers d under the name it was asked for by, and forgets what is old.
func (r *orgMemory) keep(object string, d *salesforce.Describe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, a := range r.fields {
		if !a.fresh() {
			delete(r.fields, name)
		}
	}
	r.fields[object] = answered[*salesforce.Describe]{d, time.Now()}
}
