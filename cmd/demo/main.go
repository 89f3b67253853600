// Command demo shows the bridge at work without a Salesforce org: it starts a
// private Postgres, a simulated org with a few thousand records and the bridge
// itself, changes records on both sides, and shows how long each change takes
// to arrive on the other one.
//
// It runs until Ctrl-C, or for DURATION, for example
//
//	DURATION=20s make demo
//
// and then stops the traffic, waits for the two sides to become equal, prints
// a summary and exits 0 only if they did.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"hcbridge/config"
	"hcbridge/internal/bridge"
	"hcbridge/test/org"
	"hcbridge/test/org/control"
	"hcbridge/test/pgtest"
)

const (
	schema   = "salesforce"
	accounts = 500
	contacts = 2500
	// dailyLimit is the org's API calls of a day: enough that the bridge never has
	// to space the demo's writes, as it would within two minutes in an org with the
	// 15,000 of a Developer Edition.
	dailyLimit = 5_000_000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills
	err := run(ctx, os.Getenv("DURATION"), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the whole demo; how long its traffic lasts is a Go duration, or empty
// for until ctx ends.
func run(ctx context.Context, lasts string, out io.Writer) (err error) {
	var duration time.Duration
	if lasts != "" {
		if duration, err = time.ParseDuration(lasts); err != nil || duration <= 0 {
			return fmt.Errorf("DURATION: %q is not a duration such as 20s", lasts)
		}
	}
	// What was started is stopped in its own time, after ctx has ended.
	live := context.WithoutCancel(ctx)

	pg, err := pgtest.Start(live, pgtest.Options{})
	if err != nil {
		return err
	}
	defer pg.Close()
	url, err := pg.CreateDatabase(live, "demo")
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(live, url)
	if err != nil {
		return fmt.Errorf("connect to the private Postgres: %w", err)
	}
	defer pool.Close()

	sf := org.New(org.Options{DailyLimit: dailyLimit}).Start()
	sf.Handle(control.Path, control.New(sf))
	defer sf.Close()
	if err := seed(sf); err != nil {
		return err
	}

	logPath := filepath.Join(os.TempDir(), fmt.Sprintf("hcbridge-demo-%d.log", os.Getpid()))
	logFile, err := os.Create(logPath)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	defer func() {
		_ = logFile.Close()
		if err != nil {
			_, _ = fmt.Fprintf(out, "The bridge's log is in %s\n", logPath)
			return
		}
		_ = os.Remove(logPath) // it tells of nothing that went wrong
	}()
	addr, err := freeAddr(live)
	if err != nil {
		return err
	}
	cfg, err := config.Load(environment(url, sf.URL(), addr))
	if err != nil {
		return err
	}
	b := bridge.New(cfg, "demo", zerolog.New(logFile).With().Timestamp().Logger())
	bctx, stopBridge := context.WithCancel(live)
	g, gctx := errgroup.WithContext(bctx)
	g.Go(func() error { return b.Run(gctx) })
	defer func() {
		stopBridge()
		_ = g.Wait()
	}()

	d := &demo{sf: sf, pool: pool, bridge: b, out: out, url: url, log: logPath, addr: cfg.HTTPAddr}
	failed := make(chan error, 1)
	go func() { failed <- g.Wait() }()
	return d.run(ctx, duration, failed)
}

// environment is how a user would configure the same.
func environment(database, salesforce, addr string) []string {
	return []string{
		"DATABASE_URL=" + database,
		"HC_SALESFORCE_LOGIN_URL=" + salesforce,
		"HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID,
		"HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret,
		"HC_SALESFORCE_USERNAME=" + org.DefaultUsername,
		"HC_SALESFORCE_PASSWORD=" + org.DefaultPassword,
		"HC_OBJECTS=Account,Contact,Invoice__c",
		"HC_OBJECT_ACCOUNT_ACCESS=read_write",
		"HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_CONTACT_ACCESS=read_write",
		"HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_CONTACT_FIELDS=FirstName,LastName,Email,Phone,Title,AccountId,External_Id__c,CreatedDate",
		"HC_OBJECT_INVOICE__C_ACCESS=read_write",
		"HC_OBJECT_INVOICE__C_EXTERNAL_ID=External_Id__c",
		"HC_HTTP_ADDR=" + addr,
	}
}

var errUnequal = errors.New("the two sides are not equal")
