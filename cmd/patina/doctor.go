package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
)

// The states of a finding.
const (
	findingOK    = "ok"
	findingNote  = "note"  // worth knowing; nothing is missing
	findingStale = "stale" // a database's newest proven backup is too old
	findingFail  = "fail"  // something is missing or does not work
)

// finding is one thing that the doctor looked at.
type finding struct {
	Check   string `json:"check"`
	State   string `json:"state"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"` // what to do
}

// doctorOptions are the flags.
type doctorOptions struct{ embedded, send, scratch bool }

func (a *app) doctorCommand() *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything Patina needs, and say what to mend",
		Long: `Looks at the configuration, Postgres, the bucket, the account and its tokens, what
D1 does, the clock, the schedules, the channels, the audit log, room for scratch
files, and whether every database of the account has a recent, proven backup; and
says of each fault what to do about it.

It writes and deletes small objects under meta/ in the bucket, reads in the
account, and tells nobody anything. --send also sends a test message to every
channel. --scratch also makes an empty database in the account, tries in it what
only writing can show, and deletes it.

Exit code 0 when all is well, 3 when only backups are too old, 1 otherwise.`,
		Example: "  patina doctor\n  patina doctor --json | jq -r '.findings[] | select(.state == \"fail\") | .message'\n  patina doctor --send --scratch",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), o) },
	}
	embeddedFlag(cmd, &o.embedded)
	cmd.Flags().BoolVar(&o.send, "send", false, "send a test message to every channel")
	cmd.Flags().BoolVar(&o.scratch, "scratch", false, "try what only writing can show, in a database of its own")
	a.jsonFlag(cmd)
	return cmd
}

// doctor collects findings.
type doctor struct {
	app      *app
	cfg      *Config
	options  doctorOptions
	findings []finding

	account []d1.Info // the account's databases; nil where it did not answer
	largest int64     // bytes of the largest stored copy
}

func (d *doctor) add(check, state, next, format string, args ...any) {
	d.findings = append(d.findings, finding{check, state, fmt.Sprintf(format, args...), next})
}

// fault adds an error as a finding.
func (d *doctor) fault(check string, err error, otherwise string) {
	next := backup.Next(err)
	if next == "" {
		next = otherwise
	}
	d.add(check, findingFail, next, "%v", err)
}

func (a *app) doctor(ctx context.Context, o doctorOptions) error {
	d := &doctor{app: a, cfg: loadConfig(a.env, a.configFile), options: o}
	d.configuration()
	d.secrets()
	d.bucket(ctx)
	if d.cfg.AccountID != "" && d.cfg.APIToken != "" {
		d.tokens(ctx)
	}
	if o.embedded || d.cfg.DatabaseURL != "" {
		if err := d.postgres(ctx); err != nil {
			return err
		}
	}
	d.scratchRoom()
	return d.report()
}

func (d *doctor) configuration() {
	needs := []need{needAccount}
	if !d.options.embedded {
		needs = append(needs, needStore, needRemoteBucket, needSecret)
	}
	var config *configError
	switch err := d.cfg.Validate(needs...); {
	case err == nil:
		d.add("configuration", findingOK, "", "it is complete")
	case errors.As(err, &config):
		for _, p := range config.problems {
			d.add("configuration", findingFail, "docs/configuration.md lists every setting.", "%s", p)
		}
	}
}

// secrets looks for secrets that somebody thought up.
func (d *doctor) secrets() {
	fine := true
	weak := func(name, next string) {
		fine = false
		d.add("secrets", findingFail, next, "%s looks thought up, not drawn at random: what it protects can be guessed", name)
	}
	if key := d.cfg.SecretKey(); key != nil && !random(key) {
		weak("PATINA_SECRET", "Make another (openssl rand -base64 32), and set PATINA_SECRET_PREVIOUS to the present one until the next start, so that channels' addresses still open.")
	}
	for name, s := range map[string]Secret{"PATINA_BOOTSTRAP_TOKEN": d.cfg.BootstrapToken, "PATINA_METRICS_TOKEN": d.cfg.Alerts.MetricsToken} {
		if s != "" && different([]byte(s.Reveal())) < 10 {
			weak(name, "Make another: openssl rand -base64 32.")
		}
	}
	if fine && d.cfg.SecretKey() != nil {
		d.add("secrets", findingOK, "", "they look random")
	}
}

// random tells whether a key of 32 bytes may have been drawn at random: of such
// keys one in a billion has fewer than 20 different bytes, and none is text.
func random(key []byte) bool {
	text := true
	for _, b := range key {
		text = text && b >= 0x20 && b < 0x7f
	}
	return !text && different(key) >= 20
}

func different(b []byte) int {
	seen := map[byte]bool{}
	for _, c := range b {
		seen[c] = true
	}
	return len(seen)
}

func (d *doctor) report() error {
	failed, stale := 0, 0
	for _, f := range d.findings {
		switch f.State {
		case findingFail:
			failed++
		case findingStale:
			stale++
		}
	}
	if d.app.json {
		if err := d.app.printJSON(map[string]any{"findings": d.findings}); err != nil {
			return err
		}
	} else {
		for _, f := range d.findings {
			fmt.Fprintf(d.app.out, "%-5s  %-13s  %s\n", f.State, f.Check, printable(f.Message))
			if f.Next != "" {
				fmt.Fprintf(d.app.out, "%22s→ %s\n", "", printable(f.Next))
			}
		}
	}
	switch {
	case failed > 0:
		return &codeError{exitError, fmt.Errorf("%d thing(s) to mend", failed)}
	case stale > 0:
		return &codeError{exitStale, fmt.Errorf("%d database(s) have no recent backup that is proven", stale)}
	}
	return nil
}

// named lists names for people, the first ten of them.
func named(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
