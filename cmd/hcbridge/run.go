package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // for TZ in an image from scratch

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

func (p *program) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the bridge in the foreground until SIGTERM", Args: noArgs, RunE: p.runBridge,
		Long: "Keeps both sides in step until SIGTERM or SIGINT. The first one ends work in hand, which may take HC_SHUTDOWN_GRACE; a second kills.\n" +
			"It logs one JSON object a line on standard error; HC_LOG_FORMAT=console is for people.",
		Example: "  HC_LOG_FORMAT=console hcbridge run",
	}
}

func (p *program) runBridge(cmd *cobra.Command, _ []string) error {
	cfg, err := p.config()
	if err != nil {
		return p.refused(err)
	}
	screen := &screen{w: p.stderr}
	log := p.loggerTo(screen, cfg)
	b := bridge.New(cfg, build(), log)
	if p.watched() {
		stop := screen.follow(b.Board())
		defer stop()
	}
	err = withGrace(cmd.Context(), cfg.ShutdownGrace, b.Run)
	if errors.Is(err, errGrace) {
		log.Error().Str("component", "bridge").Str("event", "grace_over").Dur("wait_ms", cfg.ShutdownGrace).Msg("work in hand did not end in time; it is resumed at the next start")
	}
	if err != nil {
		return errors.Join(errQuiet, err) // it is in the log, beside whose lines there are no others
	}
	return nil
}

// refused logs what is wrong with the settings of a run, a line for each problem, as
// whatever reads its standard error expects lines of the log. People get text.
func (p *program) refused(err error) error {
	var wrong *config.Error
	if !errors.As(err, &wrong) || strings.EqualFold(strings.TrimSpace(p.getenv("HC_LOG_FORMAT")), "console") || isTerminal(p.stderr) {
		return err
	}
	log := p.logger(&config.Config{LogLevel: "error"}) // that of the settings may be what is wrong
	for _, problem := range wrong.Problems {
		log.Error().Str("component", "config").Str("event", "settings_refused").Str("variable", problem.Variable).Str("error", problem.Text).Msg("the settings are wrong")
	}
	return errors.Join(errQuiet, err)
}

var errGrace = errors.New("HC_SHUTDOWN_GRACE ran out")

// withGrace runs fn and, once ctx has ended, waits for it no longer than grace:
// what cannot be finished by then is safe to lose.
func withGrace(ctx context.Context, grace time.Duration, fn func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errGrace
	}
}

// setUpZerolog sets what zerolog keeps in variables: once, as a logger of before may
// still read them.
var setUpZerolog = sync.OnceFunc(func() {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.DurationFieldUnit = time.Millisecond
})

// logger returns the program's one logger: JSON lines, or text for people.
func (p *program) logger(cfg *config.Config) zerolog.Logger { return p.loggerTo(p.stderr, cfg) }

// loggerTo is logger by way of w, which ends at standard error.
func (p *program) loggerTo(w io.Writer, cfg *config.Config) zerolog.Logger {
	setUpZerolog()
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	if cfg.LogFormat == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !p.colours(p.stderr)}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
