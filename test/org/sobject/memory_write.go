package sobject

import "encoding/json"

// Apply implements [Store].
func (m *Memory) Apply(writes []Write) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range writes {
		if t := m.table(writes[i].Object.Name); t != nil {
			t.apply(writes[i].Object, &writes[i].Record)
		}
	}
}

func (t *table) apply(o *Object, r *Record) {
	t.shared = nil
	old, existed := t.byID.Get(r)
	if existed {
		t.byStamp.Delete(old)
		if !old.Deleted {
			t.live--
		}
	}
	for name, index := range t.indexes {
		i := o.Index(name)
		was, hadKey := "", false
		if existed {
			was, hadKey = keyAt(o, i, old)
		}
		is, hasKey := keyAt(o, i, r)
		if hadKey && (!hasKey || was != is || r.Purged) {
			index.Delete(entry{key: was, id: r.ID})
		}
		if hasKey && !r.Purged {
			index.Set(entry{key: is, id: r.ID, rec: r})
		}
	}
	if r.Purged {
		t.byID.Delete(r)
		return
	}
	// New ids and new stamps sort last, which Load appends without a search.
	t.byID.Load(r)
	t.byStamp.Load(r)
	if !r.Deleted {
		t.live++
	}
}

func keyAt(o *Object, i int, r *Record) (string, bool) {
	if i < 0 || i >= len(r.Values) || r.Values[i] == nil {
		return "", false
	}
	v := r.Values[i]
	if n, ok := v.(json.Number); ok {
		return n.String(), true
	}
	return o.Fields[i].key(v)
}
