package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hcbridge/config"
	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

const (
	// planWithin bounds how long the mapping page waits for the org.
	planWithin = 15 * time.Second
	// defaultPoll is the interval where HC_POLL_INTERVAL is not set.
	defaultPoll = 10 * time.Minute
)

// chooser works out what the mapping page shows. It asks the org through the
// bridge's own client, once the bridge has logged in.
type chooser struct {
	explorer

	memory *orgMemory
	board  *status.Board
}

func newChooser(cfg *config.Config, sf *orgMemory, board *status.Board) *chooser {
	return &chooser{explorer: explorer{sf: sf, cfg: cfg}, memory: sf, board: board}
}

// plan is a [web.Plan].
func (c *chooser) plan(ctx context.Context, choice web.Choice) web.Mapping {
	ctx, cancel := context.WithTimeout(ctx, planWithin)
	defer cancel()
	var v web.Mapping
	objects, err := c.begin(choice.Block)
	if err != nil {
		v.Problems = append(v.Problems, problems(err)...)
		objects, _ = c.begin("")
	}
	if choice.Settings != nil {
		changed, err := withSettings(objects, *choice.Settings)
		v.Problems = append(v.Problems, problems(err)...)
		objects = changed
	}
	objects = slices.DeleteFunc(objects, func(o config.Object) bool { return strings.EqualFold(o.Name, choice.Drop) })
	if v.Trouble = c.trouble(); v.Trouble == "" {
		objects = c.ask(ctx, choice.Show, objects, &v)
	}
	c.chosen(objects, &v)
	v.Block = c.cfg.Env(objects)
	if v.Trouble != "" {
		v.FileTrouble = "It names the fields of each object, which only the org can tell."
	} else {
		c.file(ctx, objects, &v)
	}
	return v
}

// begin reads a block, or what is configured where there is none.
func (c *chooser) begin(block string) ([]config.Object, error) {
	if strings.TrimSpace(block) != "" {
		return config.Objects(block)
	}
	return configured(c.cfg), nil
}

// configured returns the objects of cfg with what was set of each: as Env writes
// it, an interval that is the default is not a setting of the object. Polls that
// are not to be relaxed are told by an interval.
func configured(cfg *config.Config) []config.Object {
	objects := slices.Clone(cfg.Objects)
	for i := range objects {
		o := &objects[i]
		if o.PollRelaxed || o.PollInterval == cfg.PollInterval && o.PollInterval != defaultPoll {
			o.PollInterval = 0
		}
		o.PollRelaxed = false
	}
	return objects
}

// trouble says why the org is not asked.
func (c *chooser) trouble() string {
	conn := c.board.Snapshot().Connection
	switch {
	case conn.State == status.Standby:
		return "This process stands by. Ask the one that works."
	case conn.OrgID == "":
		return "The bridge is not logged in to Salesforce yet (" + conn.State + "). The status page says why."
	default:
		return ""
	}
}

// withSettings returns objects with new settings for one of them. Settings that are
// wrong are not taken, and the error says why.
func withSettings(objects []config.Object, s web.Settings) ([]config.Object, error) {
	i := slices.IndexFunc(objects, func(o config.Object) bool { return strings.EqualFold(o.Name, s.Object) })
	if i < 0 {
		return objects, nil
	}
	old := objects[i]
	o := config.Object{Name: old.Name, Mode: s.Mode, Access: s.Access, ExternalID: s.ExternalID, Indexes: s.Indexes, PollInterval: old.PollInterval}
	var wrong error
	switch d, err := time.ParseDuration(s.PollInterval); {
	case s.PollInterval == "":
		o.PollInterval = 0
	case err != nil || d < time.Second || d > 24*time.Hour:
		wrong = mappingErrorf("The poll interval of %s is not a duration from 1s to 24h, such as 90s, 10m or 1h30m.", o.Name)
	default:
		o.PollInterval = d
	}
	if !s.Every {
		o.Fields = slices.Clone(s.Fields)
		for name := range strings.SplitSeq(s.Parents, ",") {
			if name = strings.TrimSpace(name); name != "" && !containsFold(o.Fields, name) {
				o.Fields = append(o.Fields, name)
			}
		}
		if len(o.Fields) == 0 {
			o.Fields = []string{"Id"} // none at all means every one
		}
		o.Indexes = slices.DeleteFunc(slices.Clone(s.Indexes), func(name string) bool {
			return !containsFold(o.Fields, name) && !strings.EqualFold(name, o.ExternalID)
		})
	}
	next := slices.Clone(objects)
	next[i] = o
	if _, err := config.Objects(config.Env(next)); err != nil {
		return objects, errors.Join(wrong, err)
	}
	return next, wrong
}

// ask adds to v what the org says, and to objects the one to show.
func (c *chooser) ask(ctx context.Context, show string, objects []config.Object, v *web.Mapping) []config.Object {
	var err error
	if v.Objects, err = c.objects(ctx); err != nil {
		v.Trouble = "Salesforce could not be asked: " + err.Error()
		return objects
	}
	if show == "" {
		return objects
	}
	l, err := c.look(ctx, show, find(objects, show))
	if err != nil {
		v.Problems = append(v.Problems, problems(err)...)
		return objects
	}
	v.Problems = append(v.Problems, problems(l.wrong)...)
	if find(objects, show) == nil {
		objects = append(slices.Clip(objects), l.settings)
	}
	v.Object = detail(l)
	return objects
}

// detail is what the page shows of one object.
func detail(l *looked) *web.Detail {
	s := l.settings
	d := &web.Detail{OrgObject: l.object, Mode: s.Mode, Access: s.Access, ExternalID: s.ExternalID, Every: len(s.Fields) == 0}
	if s.PollInterval > 0 {
		d.PollInterval = config.Interval(s.PollInterval)
	}
	var parents []string
	for _, name := range s.Fields {
		known := slices.ContainsFunc(d.Fields, func(f web.OrgField) bool { return strings.EqualFold(f.Field, name) })
		switch {
		case strings.Contains(name, "."):
			parents = append(parents, name)
		case !known: // kept, so that nothing is lost unseen
			d.Fields = append(d.Fields, web.OrgField{Field: name, Mapped: true, Note: "not to be seen in the org"})
		}
	}
	d.Parents = strings.Join(parents, ", ")
	for _, f := range d.Fields {
		if f.ExternalID || f.Field == s.ExternalID {
			d.ExternalIDs = append(d.ExternalIDs, f.Field)
		}
	}
	if l.mapping == nil {
		return d
	}
	layout := l.mapping.table.Layout()
	for _, column := range layout.Columns {
		d.Columns = append(d.Columns, web.Column{Name: column.Name, Type: column.PgType, Field: column.Field})
	}
	for _, ix := range layout.Indexes {
		d.Indexes = append(d.Indexes, web.Index(ix))
	}
	return d
}

// chosen compares objects with what is synced now.
func (c *chooser) chosen(objects []config.Object, v *web.Mapping) {
	now, _ := c.begin("")
	for _, o := range objects {
		shown := web.Chosen{Object: o.Name, Mode: o.Mode, Access: o.Access, Fields: len(o.Fields)}
		switch old := find(now, o.Name); {
		case old == nil:
			shown.Change = "new"
		case !sameSettings(*old, o):
			shown.Change = "changed"
		}
		v.Chosen = append(v.Chosen, shown)
	}
	for _, o := range now {
		if find(objects, o.Name) == nil {
			v.Dropped = append(v.Dropped, o.Name)
		}
	}
}

// sameSettings reports whether two settings of an object mean the same. The
// order of fields means nothing.
func sameSettings(x, y config.Object) bool {
	text := func(o config.Object) string {
		names := func(list []string) []string {
			var out []string
			for _, name := range list {
				if !containsFold([]string{"Id", "SystemModstamp", "IsDeleted", o.ExternalID}, name) {
					out = append(out, strings.ToLower(name))
				}
			}
			slices.Sort(out)
			return out
		}
		return fmt.Sprint(o.Mode, o.Access, strings.ToLower(o.ExternalID), o.PollInterval, len(o.Fields) == 0, names(o.Fields), names(o.Indexes))
	}
	return text(x) == text(y)
}

// file writes objects as an export, which names each field.
func (c *chooser) file(ctx context.Context, objects []config.Object, v *web.Mapping) {
	var whole []string
	for _, o := range objects {
		if len(o.Fields) == 0 {
			whole = append(whole, o.Name)
		}
	}
	err := c.memory.prepare(ctx, whole)
	objects = slices.Clone(objects)
	for i, o := range objects {
		if err != nil {
			break
		}
		if len(o.Fields) == 0 {
			var m *mapping
			if m, err = mapObject(ctx, c.sf, o, c.cfg.Schema, false, nil); err == nil {
				objects[i].Fields = m.fields
			}
		}
	}
	var text []byte
	if err == nil {
		text, err = config.Mapping(objects, config.Export{OrgID: c.board.Snapshot().Connection.OrgID, WriteAlgorithm: c.cfg.WriteAlgorithm})
	}
	if err != nil {
		v.FileTrouble = err.Error()
		return
	}
	v.File = string(text)
}

// problems are the lines of an error, which a person reads.
func problems(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}
