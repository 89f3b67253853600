package bridge

import (
	"context"
	"errors"
	"net"
	"syscall"

	"hcbridge/internal/web"
)

// pages tells what others see of the pages, and what nobody does.
func (c *checker) pages() {
	if addr := c.cfg.HTTPAddr; addr != "" && !web.IsLoopback(addr) && c.cfg.HTTPToken == "" {
		c.warn("HC_HTTP_ADDR", "all who can reach "+addr+" see health and metrics, and without a token nobody sees pages and API",
			"set HC_HTTP_TOKEN, for example to what openssl rand -hex 32 prints, or an address like 127.0.0.1:8080")
	}
}

// address finds out whether the pages can be served where they are to be. A port that the
// bridge at work has taken is as it should be.
func (c *checker) address(ctx context.Context) {
	addr := c.cfg.HTTPAddr
	if addr == "" {
		return
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		_ = l.Close()
	case !errors.Is(err, syscall.EADDRINUSE):
		c.bad("HC_HTTP_ADDR", "nothing can be served there: "+err.Error(), addressRemedy(err))
	case c.pool != nil && !c.works(ctx): // without a database nobody knows
		c.warn("HC_HTTP_ADDR", addr+" is in use, and not by a bridge of this schema: while it is, none starts here", "name another port, or end what listens there; empty serves nothing")
	}
}

// addressRemedy says what to do about an address that can never be listened on.
func addressRemedy(err error) string {
	if errors.Is(err, syscall.EACCES) {
		return "name a port from 1024 on, as 127.0.0.1:8080, or let the process listen on lower ones (CAP_NET_BIND_SERVICE)"
	}
	return "name an address of this machine, 127.0.0.1:8080 for itself or :8080 for all who reach it; empty serves nothing"
}

// works reports whether a bridge is at work on the schema.
func (c *checker) works(ctx context.Context) bool {
	l := newLease(c.pool, c.cfg.Schema)
	return l.look(ctx) == nil && l.others != nil // without a table of leases none has run
}
