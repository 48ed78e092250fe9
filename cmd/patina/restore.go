package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/restore"
)

// restoreOptions are the flags of patina restore.
type restoreOptions struct {
	to, into, inPlace, confirm, bookmark string
	tables                               []string
	dryRun, noWait, embedded             bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore BACKUP|FILE (--to NEW-NAME | --into FILE.sqlite | --in-place NAME)",
		Short: "Put a backup back",
		Long: `Puts a backup back: into a new database of the account (--to), into a SQLite file
(--into), or over what a database holds (--in-place). At the end it compares what
is there with the backup, down to the last byte, and says how that came out.

A BACKUP is the id of one in the catalogue; a running worker (patina serve) carries
the restore out. A FILE is a dump, plain or .gz, and needs neither Postgres nor a
server: only the account, for --to and --in-place.

In place, a safety copy and a Time Travel bookmark of what the database holds are
taken first, and the name of the database must be typed (or given with --confirm).
With --table only that table comes back, under the name TABLE_restored_DATE, beside
the old one. With --bookmark the database goes back to a bookmark of its own Time
Travel, which is quicker than any backup while it lasts.

--dry-run tells what would be done and changes nothing.`,
		Example: "  patina restore groveauth.sql --into groveauth.sqlite\n  patina restore groveauth.sql --to groveauth-2\n" +
			"  patina restore 01a20d05-4cf1-732b-b675-75b4ac1ac044 --in-place groveauth --table users\n" +
			"  patina restore --bookmark 00000085-ffffffff-00004dff --in-place groveauth",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			what := ""
			if len(args) == 1 {
				what = args[0]
			}
			if err := o.check(what); err != nil {
				return err
			}
			return a.restore(cmd.Context(), what, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "make a new database of this name in the account")
	f.StringVar(&o.into, "into", "", "make a SQLite file")
	f.StringVar(&o.inPlace, "in-place", "", "restore over what this database holds")
	f.StringVar(&o.confirm, "confirm", "", "the name of the database, once more, instead of typing it")
	f.StringVar(&o.bookmark, "bookmark", "", "go back to this bookmark instead of a backup; with --in-place")
	f.StringArrayVar(&o.tables, "table", nil, "only this table; may be given several times")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what would be done, and do nothing")
	f.BoolVar(&o.noWait, "no-wait", false, "do not follow the job of a BACKUP to its end")
	embeddedFlag(cmd, &o.embedded)
	a.jsonFlag(cmd)
	return cmd
}

func (o restoreOptions) check(what string) error {
	targets := 0
	for _, s := range []string{o.to, o.into, o.inPlace} {
		if s != "" {
			targets++
		}
	}
	switch {
	case targets != 1:
		return usagef("say where to: --to NEW-NAME, --into FILE.sqlite or --in-place NAME")
	case o.bookmark != "" && (o.inPlace == "" || what != "" || len(o.tables) > 0):
		return usagef("--bookmark goes with --in-place NAME, and with no backup and no table")
	case o.bookmark == "" && what == "":
		return usagef("say what to restore: the id of a BACKUP, or a FILE")
	case o.into != "" && o.dryRun:
		return usagef("--dry-run is for databases of the account; `patina verify` proves a backup without keeping a file")
	}
	return nil
}

// request is what was asked for, as the restore takes it.
func (o restoreOptions) request() backup.Restore {
	r := backup.Restore{Target: backup.RestoreNew, Name: o.to, Tables: o.tables, Confirm: o.confirm}
	if o.inPlace != "" {
		r.Target, r.Name = backup.RestoreInPlace, o.inPlace
	}
	if o.bookmark != "" {
		r.Target, r.Bookmark = backup.RestoreBookmark, o.bookmark
	}
	return r
}

func (a *app) restore(ctx context.Context, what string, o restoreOptions) error {
	catalogued := uuidText.MatchString(what)
	if o.bookmark != "" { // a restore that Postgres knows of is on record there
		cfg := loadConfig(a.env, a.configFile)
		catalogued = cfg.DatabaseURL.Reveal() != "" || o.embedded
	}
	switch {
	case o.into != "" && catalogued:
		return a.withInstallation(ctx, o.embedded, func(ctx context.Context, in *installation) error {
			return a.restoreCopyIntoFile(ctx, in, what, o)
		})
	case o.into != "":
		return a.restoreFileIntoFile(ctx, what, o)
	case catalogued:
		return a.withInstallation(ctx, o.embedded, func(ctx context.Context, in *installation) error {
			return a.requestRestore(ctx, in, what, o)
		})
	}
	return a.restoreFile(ctx, what, o)
}

// confirm asks a person at a terminal for the name of the database that will be
// overwritten.
func (a *app) confirm(r *backup.Restore) error {
	if r.Target == backup.RestoreNew || r.Confirm != "" {
		return nil
	}
	if !isTerminal(a.in) {
		return usagef("a restore over %s must be confirmed: give --confirm %s", r.Name, r.Name)
	}
	fmt.Fprintf(a.err, "This changes what %s holds. Type its name to go on: ", r.Name)
	typed, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && typed == "" {
		return fmt.Errorf("read the name: %w", err)
	}
	r.Confirm = strings.TrimSpace(typed)
	return nil
}

// tellPlan says what a restore would do.
func (a *app) tellPlan(name string, p *restore.Plan) error {
	if a.json {
		if err := a.printJSON(p); err != nil {
			return err
		}
	} else {
		a.say("Into %s: %d tables, %s rows", printable(name), len(p.Tables), humanize.Comma(p.Rows))
		for _, t := range p.Tables {
			now := ""
			if t.Now >= 0 {
				now = fmt.Sprintf(", %s rows now", humanize.Comma(t.Now))
			}
			a.say("  %-9s %s: %s rows in the backup%s", t.Action, printable(t.Name), humanize.Comma(t.Rows), now)
		}
		for _, n := range p.Notes {
			a.say("  note: %s", printable(n))
		}
		for _, n := range p.Problems {
			a.say("  in the way: %s", printable(n))
		}
	}
	if len(p.Problems) > 0 {
		return &codeError{exitError, fmt.Errorf("the restore cannot be done as it was asked for; nothing was changed")}
	}
	return nil
}

// restoreAnswer is a restore as --json writes it.
type restoreAnswer struct {
	JobID          string               `json:"job_id,omitempty"`
	Target         backup.RestoreTarget `json:"target"`
	Name           string               `json:"name"`
	TargetID       string               `json:"target_id,omitempty"`
	Backup         string               `json:"backup,omitempty"`
	Tables         []string             `json:"tables,omitempty"`
	Step           backup.RestoreStep   `json:"step"`
	OK             bool                 `json:"ok"`
	Outcome        string               `json:"outcome"`
	Next           string               `json:"next,omitempty"`
	Checks         []backup.Check       `json:"checks"`
	BookmarkBefore string               `json:"bookmark_before,omitempty"`
	SafetyCopy     string               `json:"safety_copy,omitempty"`
}

// tellRestore says how a restore ended, and gives err.
func (a *app) tellRestore(r backup.Restore, err error) error {
	if a.json {
		printErr := a.printJSON(restoreAnswer{
			JobID: r.ID, Target: r.Target, Name: r.Name, TargetID: r.TargetID, Backup: r.CopyID, Tables: r.Tables, Step: r.Step, OK: err == nil,
			Outcome: r.Outcome, Next: r.Next, Checks: r.Checks, BookmarkBefore: r.BookmarkBefore, SafetyCopy: r.SafetyCopyID,
		})
		if printErr != nil {
			return printErr
		}
	}
	for _, c := range r.Checks {
		mark := "ok"
		if !c.OK {
			mark = "NOT EQUAL"
		}
		a.say("  %s: %s: %s", mark, c.Name, printable(c.Text))
	}
	if err != nil {
		return err
	}
	a.say("Restored: %s", printable(r.Outcome))
	if r.Next != "" {
		a.say("  %s", printable(r.Next))
	}
	return nil
}
