package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hcbridge/outbox"
)

// triggersEvery is how often it is looked whether changes are still captured.
const triggersEvery = 20 * time.Second

// watchTriggers looks after the capture triggers until ctx ends.
//
// Whoever drops or replaces one stops the way to Salesforce without a trace, so
// it is made again. One that is disabled is not enabled: somebody may be
// loading, and what is captured is sent. Both show as a stop until they are
// right.
func (s *session) watchTriggers(ctx context.Context) error {
	ticker := time.NewTicker(triggersEvery)
	defer ticker.Stop()
	for {
		if err := s.checkTriggers(ctx); err != nil && ctx.Err() == nil {
			s.doubtTables(err)
			s.log.Warn().Str("component", "bridge").Str("event", "capture_unchecked").Err(err).Msg("the triggers could not be checked or repaired; trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *session) checkTriggers(ctx context.Context) error {
	if err := s.missing(ctx); errors.Is(err, errMissing) {
		if _, err := s.install(ctx); err != nil { // what is lost of the triggers is told below
			return err
		}
	} else if err != nil {
		return err
	}
	now, err := outbox.Inspect(ctx, s.pool, s.cfg.Schema)
	if err != nil {
		return err
	}
	if lost := s.capture.Lost(now); len(lost) > 0 {
		was := s.capture
		s.stop("capture", "changes are not captured: dropped or replaced: "+strings.Join(lost, ", "))
		if s.capture, err = s.install(ctx); err != nil {
			s.capture = was
			return err
		}
		if again := was.Lost(s.capture); len(again) > 0 {
			s.capture = was
			return fmt.Errorf("replaced by another of the same name, drop it: %s", strings.Join(again, ", "))
		}
		s.log.Warn().Str("component", "bridge").Str("event", "capture_repaired").Strs("lost", lost).
			Msg("made again; what the app changed meanwhile was not captured, hcbridge verify shows it")
		s.missedBy(lost)
		now = s.capture
	}
	if off := now.Off(); len(off) > 0 {
		s.stop("capture", "changes are not captured: "+strings.Join(off, ", ")+": ALTER TABLE … ENABLE TRIGGER, or RESET the setting, when that is not wanted any more")
		return nil
	}
	s.resume("capture")
	return nil
}
