package bridge

import (
	"context"

	"golang.org/x/sync/errgroup"

	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

// offer is Run where no object is mapped: it logs in and serves the pages, on one
// of which objects are chosen. Nothing else is done, so it needs no database.
func (b *Bridge) offer(ctx context.Context) error {
	if b.cfg.HTTPAddr == "" {
		return &ConfigError{Variable: "HC_OBJECTS", Text: "no object is mapped: name some, as Account,Contact, or set HC_MAPPING_FILE"}
	}
	sf, err := newSalesforce(b.cfg, b.log, nil, b.loggedIn)
	if err != nil {
		return err
	}
	b.board.Go("start")
	b.stop("objects", "no object is mapped: choose some on the mapping page, put its environment block into the settings, and start again")
	g, ctx := errgroup.WithContext(ctx)
	b.serve(ctx, g, sf, web.Config{
		Errors: func(context.Context, int) ([]web.Failure, error) { return nil, nil },
		Retry:  func(context.Context, []string) (int64, error) { return 0, nil },
		Ignore: func(context.Context, []string) (int64, error) { return 0, nil },
	})
	g.Go(func() error { return b.sample(ctx) })
	g.Go(func() error {
		return ignoreEnd(ctx, retry.Forever(ctx, b.log.With().Str("component", "bridge").Logger(), "login", heals, func(ctx context.Context) error {
			_, err := b.introduce(ctx, sf)
			return err
		}))
	})
	return g.Wait()
}

// introduce logs in, unless there is a session.
func (b *Bridge) introduce(ctx context.Context, sf *salesforce.Client) (sess salesforce.Session, err error) {
	sess, err = sf.Token(ctx, "")
	if err != nil {
		state := status.SFUnavailable
		if ce := authConfigError(b.cfg, err); ce != nil {
			state, err = status.Unauthorized, ce
		}
		b.board.Connection(func(c *status.Connection) { c.State = state })
		b.falter("salesforce", err.Error(), err)
		return sess, err
	}
	b.resume("salesforce")
	return sess, nil
}

// loggedIn shows as whom a login was, and where the org lives since.
func (b *Bridge) loggedIn(sess salesforce.Session) {
	b.board.Connection(func(c *status.Connection) {
		c.OrgID, c.Username, c.InstanceURL = sess.OrgID, sess.Username, sess.InstanceURL
	})
}
