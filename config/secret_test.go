package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

const value = "hunter2"

// printed is everything that could carry a Secret out, by accident.
func printed(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%U"} {
		fmt.Fprintf(&out, verb+"\n", v)
	}
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %w", errors.New(fmt.Sprint("login ", v))))
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	log := zerolog.New(&out)
	log.Info().Interface("v", v).Any("w", v).Msg("zerolog")
	if s, ok := v.(fmt.Stringer); ok {
		log.Info().Stringer("s", s).Msg("zerolog")
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("slog", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("slog", "v", v)
	return out.String()
}

func TestSecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	s := Secret(value)
	hex := fmt.Sprintf("%x", value)
	for _, v := range []any{
		s, &s,
		[]Secret{s},
		map[string]Secret{"k": s},

		struct{ S Secret }{s},
		Config{DatabaseURL: s, Salesforce: Salesforce{Password: s}},
		&Config{HTTPToken: s},
	} {
		out := printed(t, v)
		if low := strings.ToLower(out); strings.Contains(low, value) || strings.Contains(low, hex) {
			t.Errorf("%T prints its value:\n%s", v, out)
		}
		if !strings.Contains(out, redacted) {
			t.Errorf("%T does not say that something was left out:\n%s", v, out)
		}
	}
	if s.Reveal() != value {
		t.Errorf("Reveal returned %q", s.Reveal())
	}
}

// Whether there is a secret at all is worth knowing.
func TestEmptySecretPrintsNothing(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprintf("%v|%s|%q|%#v", Secret(""), Secret(""), Secret(""), Secret("")); got != `|||config.Secret("")` && got != `||""|config.Secret("")` {
		t.Errorf("printed %s", got)
	}
}
