package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/AutumnsGrove/Patina/backup"
)

// The exit codes.
const (
	exitDone    = 0
	exitError   = 1
	exitUsage   = 2
	exitStale   = 3
	exitCorrupt = 4
	exitPartial = 5
)

// app is one run of the program: what it reads and writes, so that a test can
// give its own.
type app struct {
	in    io.Reader
	out   io.Writer // data
	err   io.Writer // prose, progress and logs
	env   lookup
	clock func() time.Time

	configFile string // --config
	json       bool   // --json
	logFormat  string // --log
}

// usageError is a mistake in how the program was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// codeError ends the program with a code of its own; a nil err means that
// everything was said already.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *codeError) Unwrap() error { return e.err }

// run executes one command line and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	a.explain(ctx, err)
	return exitCode(err)
}

func exitCode(err error) int {
	var code *codeError
	var usage *usageError
	var config *configError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &usage), errors.As(err, &config):
		return exitUsage
	case errors.Is(err, backup.ErrCorrupt):
		return exitCorrupt
	}
	return exitError
}

// explain says what went wrong and what to do about it, in words.
func (a *app) explain(ctx context.Context, err error) {
	var usage *usageError
	switch {
	case err.Error() == "":
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(a.err, "patina: interrupted")
	default:
		fmt.Fprintln(a.err, "patina:", err)
		if next := backup.Next(err); next != "" {
			fmt.Fprintln(a.err, "  "+next)
		}
		if errors.As(err, &usage) {
			fmt.Fprintln(a.err, "  `patina help` lists the commands.")
		}
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "patina",
		Short: "Backs up the D1 databases of a Cloudflare account, faithfully, every night",
		Long: `Patina backs up the D1 databases of a Cloudflare account, faithfully, every night.

Try it with no account at all:  patina demo

Data goes to stdout, prose and progress to stderr.
Exit codes: 0 done, 1 error, 2 usage or configuration, 3 stale, 4 corrupt, 5 partial.`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "the configuration file (default ./patina.toml where it exists)")
	root.PersistentFlags().StringVar(&a.logFormat, "log", "auto", "how logs are written: text, json, or auto (text on a terminal)")
	root.AddCommand(
		a.demoCommand(), a.serveCommand(), a.migrateCommand(), a.doctorCommand(), a.databasesCommand(),
		a.backupCommand(), a.archiveCommand(), a.pruneCommand(), a.exportCommand(), a.listCommand(), a.downloadCommand(), a.verifyCommand(), a.drillCommand(), a.diffCommand(), a.restoreCommand(),
		a.rebuildCommand(), a.metaCommand(), a.userCommand(), a.tokenCommand(), a.versionCommand(),
	)
	teach(root)
	return root
}

// jsonFlag gives a command --json.
func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "write JSON to stdout")
}

// noArgs refuses arguments; an unknown command ends here too.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q is no command of `%s`", args[0], cmd.CommandPath())
	}
	return nil
}

// exactly wants n arguments, named for the message.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("`%s` takes %d argument(s): %v; got %d", cmd.CommandPath(), len(names), names, len(args))
		}
		return nil
	}
}

// say writes a line of prose.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// printJSON writes one value to stdout.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// terminal tells whether prose goes to a person's terminal.
func (a *app) terminal() bool { return isTerminal(a.err) }

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logger writes to stderr in the form asked for.
func (a *app) logger(level slog.Level) (*slog.Logger, error) {
	opt := &slog.HandlerOptions{Level: level}
	switch {
	case a.logFormat == "json", a.logFormat == "auto" && !a.terminal():
		return slog.New(slog.NewJSONHandler(a.err, opt)), nil
	case a.logFormat == "text", a.logFormat == "auto":
		return slog.New(slog.NewTextHandler(a.err, opt)), nil
	}
	return nil, usagef("--log is %q, and must be text, json or auto", a.logFormat)
}
