package bridge

import (
	"context"
	"slices"
	"strings"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
)

// descriptions answers for all mapped objects from one call, and asks once for
// any other.
type descriptions struct {
	sf    *salesforce.Client
	known map[string]salesforce.Description
}

func describeAll(ctx context.Context, sf *salesforce.Client, objects []config.Object) (*descriptions, error) {
	d := &descriptions{sf: sf, known: map[string]salesforce.Description{}}
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = o.Name
	}
	all, err := sf.DescribeAll(ctx, names)
	if err != nil && salesforce.ClassOf(err) != salesforce.Permanent {
		return nil, err
	}
	for i, found := range all { // none where composite requests are refused: one by one then
		d.known[strings.ToLower(names[i])] = found
	}
	return d, nil
}

// Describe implements describer.
func (d *descriptions) Describe(ctx context.Context, object string) (*salesforce.Describe, error) {
	key := strings.ToLower(object)
	if _, ok := d.known[key]; !ok {
		found, err := d.sf.Describe(ctx, object)
		if err != nil && salesforce.ClassOf(err) != salesforce.Permanent {
			return nil, err
		}
		d.known[key] = salesforce.Description{Describe: found, Err: err}
	}
	return d.known[key].Describe, d.known[key].Err
}

// survey is what every object of the configuration comes to now.
type survey struct {
	mappings map[string]*mapping // by the name in the configuration
	errs     map[string]error    // of those without
	known    map[string]known
}

// look asks Salesforce, for one API call, and the database. Its errors are
// those that concern all objects.
func (s *session) look(ctx context.Context) (*survey, error) {
	before, err := remembered(ctx, s.pool, s.cfg.Schema)
	if err != nil {
		return nil, err
	}
	org, err := describeAll(ctx, s.sf, s.cfg.Objects)
	if err != nil {
		return nil, err
	}
	return mapEach(ctx, s.cfg, org, before)
}

// glimpse is look without a call, by what was known of the org before it was our
// turn. It is nil if that is nothing, or no more what whoever worked before has
// mapped: to map less would freeze fields, and have all loaded again.
func (s *session) glimpse(ctx context.Context) (*survey, error) {
	if s.foreknown == nil {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	before, err := remembered(ctx, s.pool, s.cfg.Schema)
	if err != nil {
		return nil, err
	}
	v, err := mapEach(ctx, s.cfg, s.foreknown, before)
	if err != nil {
		return nil, err
	}
	for _, cfg := range s.cfg.Objects {
		m := v.mappings[cfg.Name]
		if m == nil || len(m.frozen) > 0 || !slices.Equal(m.entries(), before[strings.ToLower(cfg.Name)].entries) {
			return nil, nil //nolint:nilnil // as above
		}
	}
	return v, nil
}

func mapEach(ctx context.Context, c *config.Config, org *descriptions, before map[string]known) (*survey, error) {
	v := &survey{mappings: map[string]*mapping{}, errs: map[string]error{}, known: before}
	for _, cfg := range c.Objects {
		m, err := mapObject(ctx, org, cfg, c.Schema, c.NumberType == config.NumberNumeric, before[strings.ToLower(cfg.Name)].fields)
		if err != nil && heals(err) {
			return nil, err
		}
		if err != nil {
			v.errs[cfg.Name] = err
			continue
		}
		_, m.known = before[strings.ToLower(cfg.Name)]
		v.mappings[cfg.Name] = m
	}
	return v, nil
}
