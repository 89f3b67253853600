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
	harden()
	boundMemory()
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
	noColour       bool
}

// errUsage marks a failure that the caller of the program must mend.
var errUsage = errors.New("usage")

// errQuiet marks a failure that has been told already.
var errQuiet = errors.New("quiet")

// run runs one command line and returns its exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := &program{environ: environ, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	return p.exitCode(root.ExecuteContext(ctx))
}

// root is the command line.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "hcbridge",
		Short: "Keeps Salesforce objects and Postgres tables in step, in both directions",
		Long: "Keeps Salesforce objects and Postgres tables in step, in both directions, within seconds.\n" +
			"Without a command it runs the bridge. All settings come from the environment; hcbridge check says whether they are right.\n\n" +
			"Exit codes: 0 done; 1 failed, or found what is wrong; 2 arguments or configuration wrong.",
		Example: "  hcbridge check            # before the first start\n" +
			"  hcbridge                  # run, until SIGTERM\n" +
			"  hcbridge status --watch   # beside the running bridge\n" +
			"  hcbridge errors           # what Salesforce or Postgres refused",
		Args:                       knownCommand,
		RunE:                       p.runBridge,
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
	}
	root.PersistentFlags().BoolVar(&p.noColour, "no-color", false, "no colours (as with NO_COLOR set, TERM=dumb, or without a terminal)")
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errors.Join(errUsage, err) })
	root.AddCommand(
		p.runCommand(),
		p.checkCommand(), p.statusCommand(), p.verifyCommand(), p.errorsCommand(), p.retryCommand(), p.ignoreCommand(), p.reloadCommand(), p.approveCommand(), p.adoptCommand(), p.pauseCommand(), p.resumeCommand(), p.objectsCommand(), p.exportCommand(), p.versionCommand(), p.healthCommand(),
	)
	return root
}

// knownCommand refuses what is no command, and says which may be meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see hcbridge --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "is it " + strings.Join(near, " or ") + "?"
	}
	return errors.Join(errUsage, fmt.Errorf("unknown command %q: %s", args[0], hint))
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
	usage := errors.Is(err, errUsage) || errors.As(err, &problems) || errors.As(err, &ce)
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

// completeObjects offers the names of the mapped objects to the shell, from the
// settings alone.
func (p *program) completeObjects(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	cfg, err := config.LoadSetup(p.environ)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, o := range cfg.Objects {
		if strings.HasPrefix(strings.ToLower(o.Name), strings.ToLower(begun)) {
			names = append(names, o.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
