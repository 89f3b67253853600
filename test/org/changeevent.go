package org

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hcbridge/test/org/sobject"
)

// changeEvent is one event before it has a position.
type changeEvent struct {
	object  *sobject.Object
	kind    string   // changeType
	ids     []string // recordIds
	changed []string // changedFields, without LastModifiedDate
	body    object
}

// uncaptured are fields that change events never hold, besides formulas:
// "IsDeleted, SystemModstamp, and any field whose value is not on the record and
// is derived". ("Change Data Capture Developer Guide, Change Event Fields". One
// edition says that formulas are included, another that they are not.)
var uncaptured = map[string]bool{
	"Id": true, "IsDeleted": true, "SystemModstamp": true, "LastActivityDate": true, "LastViewedDate": true, "LastReferencedDate": true, "PhotoUrl": true,
}

// newChangeEvent says what a transaction did to a record. A create and an
// undelete hold what is not null, an update what has changed, null included,
// a delete nothing.
func newChangeEvent(ch *sobject.Change) *changeEvent {
	ob := ch.Object
	e := &changeEvent{object: ob, ids: []string{ch.After.ID}}
	e.kind = map[sobject.OpKind]string{
		sobject.Insert: "CREATE", sobject.Update: "UPDATE", sobject.Delete: "DELETE", sobject.Undelete: "UNDELETE",
	}[ch.Kind]
	if ch.Kind == sobject.Delete {
		return e
	}
	update := ch.Kind == sobject.Update
	compounds := map[string]int{} // place in the body
	for i, f := range ob.Fields {
		// A compound is put together from its parts.
		if uncaptured[f.Name] || f.Calculated || f.IsCompound() || len(ob.Parts(f.Name)) > 0 {
			continue
		}
		value := ch.After.At(ob, i)
		if update && !(f.Name == "LastModifiedDate" || e.differs(ch, i)) || !update && value == nil {
			continue
		}
		shown := f.EventJSON(value)
		if update {
			shown = diff(f, ch.Before.At(ob, i), shown)
		}
		name := f.Name
		if f.Compound == "" {
			e.body = append(e.body, member{name, shown})
		} else {
			at, ok := compounds[f.Compound]
			if !ok {
				at = len(e.body)
				compounds[f.Compound] = at
				e.body = append(e.body, member{f.Compound, object{}})
			}
			parts, _ := e.body[at].value.(object)
			parts = append(parts, member{partName(f), shown})
			e.body[at].value = parts
			name = f.Compound + "." + partName(f)
		}
		if update && name != "LastModifiedDate" {
			e.changed = append(e.changed, name)
		}
	}
	return e
}

// differs reports whether a change event of an update has field i. Of a custom
// geolocation all parts come when one has changed. ("Change Data Capture
// Developer Guide, General Considerations")
func (e *changeEvent) differs(ch *sobject.Change, i int) bool {
	f := ch.Object.Fields[i]
	if strings.HasSuffix(f.Compound, "__c") {
		for j, p := range ch.Object.Fields {
			if p.Compound == f.Compound && unequal(ch, j) {
				return true
			}
		}
		return false
	}
	return unequal(ch, i)
}

func unequal(ch *sobject.Change, i int) bool {
	before, after := ch.Before.At(ch.Object, i), ch.After.At(ch.Object, i)
	if a, isTime := before.(time.Time); isTime {
		b, ok := after.(time.Time)
		return !ok || !a.Equal(b)
	}
	return before != after
}

// partName is the name of a part inside its compound: Street of BillingAddress,
// FirstName of Name, Latitude of Loc__c.
func partName(f *sobject.Field) string {
	name := f.Name
	if base, custom := strings.CutSuffix(f.Compound, "__c"); custom {
		name = strings.TrimSuffix(strings.TrimPrefix(name, base+"__"), "__s")
	} else {
		name = strings.TrimPrefix(name, strings.TrimSuffix(f.Compound, "Address"))
	}
	first, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[n:]
}

const diffAbove = 1000

// diff replaces a changed long text by how it differs from the one before, where
// that is worth it: not if its length changed by more than half, if more than a
// quarter of its lines changed, or if the difference is longer than the text.
// ("Change Data Capture Developer Guide, Sending Data Differences for Fields of
// Updated Records")
func diff(f *sobject.Field, before, after any) any {
	old, okOld := before.(string)
	text, okNew := after.(string)
	if !f.LongText() || !okOld || !okNew || len(text) < diffAbove || len(old) < diffAbove {
		return after
	}
	if d := len(text) - len(old); max(d, -d)*2 > len(old) {
		return after
	}
	a, b := strings.Split(old, "\n"), strings.Split(text, "\n")
	same := func(i, j int) bool { return a[i] == b[j] }
	head := 0
	for head < min(len(a), len(b)) && same(head, head) {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && same(len(a)-1-tail, len(b)-1-tail) {
		tail++
	}
	gone, come := a[head:len(a)-tail], b[head:len(b)-tail]
	if max(len(gone), len(come))*4 > len(a) {
		return after
	}
	sum := sha256.Sum256([]byte(text))
	out := &strings.Builder{}
	fmt.Fprintf(out, "--- \n+++ %s\n@@ -%d,%d +%d,%d @@", hex.EncodeToString(sum[:]), head+1, len(gone), head+1, len(come))
	for _, line := range gone {
		out.WriteString("\n-" + line)
	}
	for _, line := range come {
		out.WriteString("\n+" + line)
	}
	if out.Len() > len(text) {
		return after
	}
	return object{{"diff", out.String()}}
}
