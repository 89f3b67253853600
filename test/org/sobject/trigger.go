package sobject

import (
	"errors"
	"fmt"
	"time"
)

// Pending is a transaction that has not been committed.
type Pending struct {
	// At becomes the SystemModstamp. A trigger may set it back, which makes
	// the transaction one that took its stamp long before anyone could see
	// its changes.
	At     time.Time
	Origin Origin
}

// Draft is a record about to be stored, as a trigger sees it.
type Draft struct {
	Tx     *Pending
	Object *Object
	Kind   OpKind // Insert, Update, Delete or Undelete
	Before Record // zero for Insert

	after  *Record
	frozen bool
}

// ID returns the record's id, which a create has already been given.
func (d *Draft) ID() string { return d.after.ID }

// Get returns the value that field is about to have.
func (d *Draft) Get(field string) any { return d.after.Get(d.Object, field) }

// Set changes what is about to be stored. It validates and normalises value
// as a write does and refuses an unknown field, a formula, and any change to
// a record that is being deleted or restored.
func (d *Draft) Set(field string, value any) error {
	i := d.Object.Index(field)
	if i < 0 {
		return ErrNoColumn(field, d.Object.Name)
	}
	f := d.Object.Fields[i]
	if d.frozen || f.Formula != nil || f.IsCompound() || f.Type == "id" {
		return ErrReadOnly([]string{f.Name})
	}
	v, err := f.decode(value)
	if err != nil {
		return err
	}
	if v, err = f.check(v); err != nil {
		return err
	}
	d.after.Values[i] = v
	return nil
}

// Before adds a trigger. It runs for each record of a transaction before it
// is stored, not for records that only cascade, inside the org's lock: it
// must not call the Org. An error refuses the record, an [*Error] as it is,
// any other as FIELD_CUSTOM_VALIDATION_EXCEPTION with its text.
func (o *Org) Before(fn func(*Draft) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.triggers = append(o.triggers, fn)
}

// RunAgain makes a transaction that is not all or none, and of which something is
// refused, begin anew with the rest, as Salesforce does: triggers see that again,
// and what they keep outside the records stays from the time before (Apex Developer
// Guide, "Bulk DML Exception Handling"). Salesforce gives up after three times; here
// it goes on while something is refused.
func (o *Org) RunAgain(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runAgain = on
}

func (o *Org) trigger(d *Draft) *Error {
	for _, fn := range o.triggers {
		err := fn(d)
		var refusal *Error
		switch {
		case err == nil:
		case errors.As(err, &refusal):
			return refusal
		default:
			return ErrValidation(fmt.Sprint(err))
		}
	}
	return nil
}
