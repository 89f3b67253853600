package main

import (
	"context"
	"errors"
	"io"
	"time"
	_ "time/tzdata" // for TZ in an image from scratch

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

func (p *program) runBridge(cmd *cobra.Command, _ []string) error {
	cfg, err := p.config()
	if err != nil {
		return err
	}
	log := newLogger(cfg, p.stderr)
	err = withGrace(cmd.Context(), cfg.ShutdownGrace, bridge.New(cfg, build(), log).Run)
	if errors.Is(err, errGrace) {
		log.Error().Str("component", "bridge").Str("event", "grace_over").Dur("wait_ms", cfg.ShutdownGrace).Msg("work in hand did not end in time; it is resumed at the next start")
	}
	return err
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

// newLogger returns the program's one logger: JSON lines, or text for people.
func newLogger(cfg *config.Config, w io.Writer) zerolog.Logger {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.DurationFieldUnit = time.Millisecond
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	if cfg.LogFormat == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
