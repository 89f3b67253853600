package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// These are set by the linker at release builds, which can set nothing but
// package variables.
var version, commit string

func (p *program) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Long:  "Prints version, commit and Go version.\n--json prints {\"version\", \"commit\", \"go\"}.",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				v, c := built()
				return p.json(map[string]string{"version": v, "commit": c, "go": runtime.Version()})
			}
			p.printf("hcbridge %s\n", build())
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// build describes the build in one line.
func build() string {
	v, c := built()
	return fmt.Sprintf("%s (commit %.12s, %s)", v, c, runtime.Version())
}

// built returns version and commit as far as they are known.
func built() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "dev"
	}
	if c == "" {
		c = "unknown"
	}
	return v, c
}

// healthCommand asks the running bridge's /healthz: an image without a shell
// has no other way.
func (p *program) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running bridge whether it lives",
		Long: "Asks /healthz of the bridge that runs with the same settings, for images without a shell. Exit code 1 if it does not answer within\n" +
			"three seconds. With HC_HTTP_ADDR empty there is nothing to ask: exit code 0.",
		Example: "  HEALTHCHECK CMD [\"/hcbridge\", \"healthcheck\"]",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.config()
			if err != nil {
				return err
			}
			if cfg.HTTPAddr == "" {
				p.printf("HC_HTTP_ADDR is empty: there is nothing to ask\n")
				return nil // where no pages are wanted, a container must not be unhealthy for ever
			}
			host, port, err := net.SplitHostPort(cfg.HTTPAddr)
			if err != nil {
				return fmt.Errorf("HC_HTTP_ADDR: %w", err)
			}
			if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", http.NoBody)
			if err != nil {
				return err
			}
			direct := http.Client{Transport: &http.Transport{}} // HTTP_PROXY is the way to Salesforce, not to the bridge next door
			resp, err := direct.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("the bridge answers %s", resp.Status)
			}
			return nil
		},
	}
}
