package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/test/org"
	"hcbridge/test/org/control"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "orgsim:", err)
		}
		os.Exit(2) //nolint:gocritic // nothing is left to stop
	}
}

// flags are the command line.
type flags struct {
	addr, url          string
	seed               int
	auth, jwtKey       string
	logLevel, logStyle string
	options            org.Options
}

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	fs := flag.NewFlagSet("orgsim", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&f.addr, "addr", "127.0.0.1:8801", "`address` to listen on")
	fs.StringVar(&f.url, "url", "", "base `URL` to give to clients, if not that of the address")
	fs.IntVar(&f.seed, "seed", 10, "`number` of accounts and of contacts to begin with")
	fs.StringVar(&f.auth, "auth", "client_credentials", "`flow` of the printed environment: "+strings.Join(flows, ", "))
	fs.StringVar(&f.jwtKey, "jwt-key", "", "`file` of the private key whose assertions are accepted; made if it does not exist")
	fs.StringVar(&f.options.Username, "user", org.DefaultUsername, "user `name` of the integration user")
	fs.StringVar(&f.options.Password, "password", org.DefaultPassword, "its `password`")
	fs.StringVar(&f.options.SecurityToken, "security-token", "", "its security `token`, appended to the password at login")
	fs.StringVar(&f.options.ClientID, "client-id", org.DefaultClientID, "consumer `key` of the connected app")
	fs.StringVar(&f.options.ClientSecret, "client-secret", org.DefaultClientSecret, "consumer `secret` of the connected app")
	fs.StringVar(&f.options.RefreshToken, "refresh-token", org.DefaultRefreshToken, "refresh `token` that the app holds")
	fs.IntVar(&f.options.DailyLimit, "daily-limit", 100_000, "API `calls` a day")
	fs.IntVar(&f.options.TopicLimit, "topic-limit", 40, "active `PushTopics`")
	fs.StringVar(&f.logLevel, "log-level", "info", "`level`: debug shows each request")
	fs.StringVar(&f.logStyle, "log-format", "console", "`format`: console or json")
	if err := fs.Parse(args); err != nil {
		return f, err
	}
	switch {
	case fs.NArg() > 0:
		return f, fmt.Errorf("argument %q is not understood", fs.Arg(0))
	case f.seed < 0:
		return f, fmt.Errorf("-seed is %d, want 0 or more", f.seed)
	case !slices.Contains(flows, f.auth):
		return f, fmt.Errorf("-auth is %q, want one of %s", f.auth, strings.Join(flows, ", "))
	case f.auth == "jwt" && f.jwtKey == "":
		return f, errors.New("-auth jwt needs -jwt-key")
	}
	f.options.InstanceURL = strings.TrimRight(f.url, "/")
	return f, nil
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	log, err := newLog(f, stderr)
	if err != nil {
		return err
	}
	f.options.Log = log
	if f.jwtKey != "" {
		if f.options.JWTKey, err = loadKey(f.jwtKey); err != nil {
			return err
		}
	}
	s := org.New(f.options)
	defer s.Close()
	if err := seed(s, f.seed); err != nil {
		return fmt.Errorf("seed %d records: %w", f.seed, err)
	}
	s.Handle(control.Path, control.New(s))
	if err := s.Listen(f.addr); err != nil {
		return err
	}
	base := f.options.InstanceURL
	if base == "" {
		base = s.URL()
	}
	if err := printEnvironment(stdout, f, base); err != nil {
		return fmt.Errorf("print environment: %w", err)
	}
	log.Info().Str("component", "orgsim").Str("event", "listening").Str("url", base).
		Int("accounts", f.seed).Int("contacts", f.seed).Msg("the org is up; GET " + base + control.Path + " lists what can be done to it")
	<-ctx.Done()
	return nil
}

func newLog(f flags, w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(f.logLevel)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("-log-level: %w", err)
	}
	switch f.logStyle {
	case "json":
	case "console":
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: true}
	default:
		return zerolog.Nop(), fmt.Errorf("-log-format is %q, want console or json", f.logStyle)
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}
