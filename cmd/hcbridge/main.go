// Command hcbridge keeps Salesforce objects and Postgres tables in step, in
// both directions. Run it without arguments beside an app; see the README for
// its settings, all of which come from the environment.
//
// Exit codes: 0 done; 1 failed; 2 usage or configuration wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

// Exit codes, so that a supervisor can tell a typo from an outage.
const (
	exitOK     = 0
	exitFailed = 1 // started, then failed
	exitUsage  = 2 // arguments or configuration wrong; restarting cannot help
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal drains; with the handler gone, a second one kills.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is what every command needs of its surroundings.
type program struct {
	environ        []string
	stdout, stderr io.Writer
}

// errUsage marks a failure that the caller of the program must mend.
var errUsage = errors.New("usage")

// errQuiet marks a failure that has been told already.
var errQuiet = errors.New("quiet")

// run runs one command line and returns its exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := &program{environ: environ, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "hcbridge",
		Short: "Keeps Salesforce objects and Postgres tables in step, in both directions",
		Long: "Keeps Salesforce objects and Postgres tables in step, in both directions, within seconds.\n" +
			"Without a command it runs the bridge. All settings come from the environment.",
		Args:              noArgs,
		RunE:              p.runBridge,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errors.Join(errUsage, err) })
	root.AddCommand(
		&cobra.Command{Use: "run", Short: "Run the bridge in the foreground until SIGTERM", Args: noArgs, RunE: p.runBridge},
		p.checkCommand(), p.statusCommand(), p.verifyCommand(), p.errorsCommand(), p.retryCommand(), p.ignoreCommand(), p.reloadCommand(), p.approveCommand(), p.adoptCommand(), p.pauseCommand(), p.resumeCommand(), p.objectsCommand(), p.exportCommand(), p.versionCommand(), p.healthCommand(),
	)
	err := root.ExecuteContext(ctx)
	return p.exitCode(err)
}

// noArgs refuses arguments as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.Join(errUsage, fmt.Errorf("%s takes no argument %q; see hcbridge --help", cmd.CommandPath(), args[0]))
	}
	return nil
}

func (p *program) exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var problems *config.Error
	var ce *bridge.ConfigError
	usage := errors.Is(err, errUsage) || errors.As(err, &problems) || errors.As(err, &ce) || strings.HasPrefix(err.Error(), "unknown command")
	if !errors.Is(err, errQuiet) {
		_, _ = fmt.Fprintln(p.stderr, "hcbridge: "+strings.TrimPrefix(err.Error(), errUsage.Error()+"\n"))
	}
	if usage {
		return exitUsage
	}
	return exitFailed
}

// config reads the settings; its error lists every problem at once.
func (p *program) config() (*config.Config, error) { return config.Load(p.environ) }

func (p *program) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdout, format, args...) // nowhere to tell
}
