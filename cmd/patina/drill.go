package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
)

func (a *app) drillCommand() *cobra.Command {
	var useEmbedded, wait bool
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Restore copies of every database, to see that they can be",
		Long: `Puts a drill into the queue of a running installation, as its schedule does on
the first of each month. A worker (patina serve, patina demo) restores the newest
and the oldest copy of every database from their stored bytes into a SQLite file,
checks and times it, and compares the newest with its database. The certificate is
at /drills in the dashboard.

With --wait it follows the drill to its end, and the exit code says how that was:
0 passed, 4 a copy does not restore, 5 a copy could not be tried or there is none,
1 the drill itself did not come to its end.`,
		Example: "  patina drill --wait",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return a.requestDrill(ctx, in, wait)
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the drill to its end")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) requestDrill(ctx context.Context, in *installation, wait bool) error {
	started, err := a.request(ctx, in, backup.Request{Action: backup.ActionDrill}, "drill", nil)
	if err != nil {
		return err
	}
	a.say("Drill %s", started.JobID)
	if !wait {
		return a.unfollowed(started, map[string]any{"url": "/drills/" + started.JobID})
	}
	d, err := a.followDrill(ctx, in, started.JobID)
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(drillAnswer(d)); err != nil {
			return err
		}
	} else if err := a.printDrill(d); err != nil {
		return err
	}
	return drillError(d)
}

// followDrill tells of each copy as it is done, until the drill has ended.
func (a *app) followDrill(ctx context.Context, in *installation, id string) (backup.Drill, error) {
	told := map[string]bool{}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		d, err := in.store.Drill(ctx, id)
		if err != nil {
			return d, err
		}
		for _, r := range d.Results {
			if key := r.DatabaseID + string(r.Role); !told[key] {
				told[key] = true
				a.say("  %s", drillLine(r))
			}
		}
		if d.Verdict != backup.DrillOpen {
			return d, nil
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-tick.C:
		}
	}
}

func drillLine(r backup.DrillResult) string {
	name := fmt.Sprintf("%-24s %s", printable(r.DatabaseName), r.Role)
	switch {
	case r.Passed:
		return fmt.Sprintf("%s restored in %v, checked in %v", name, r.Load.Round(time.Millisecond), (r.Check + r.Again).Round(time.Millisecond))
	case r.Untried || r.CopyID == "":
		return name + " NOT TRIED: " + printable(r.Error)
	}
	return name + " FAILED: " + printable(r.Error)
}

func (a *app) printDrill(d backup.Drill) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATABASE\tCOPY\tVERDICT\tSIZE\tROWS\tRESTORED IN\tSOURCE")
	for _, r := range d.Results {
		verdict, source := "restored", string(r.Source)
		if !r.Passed {
			verdict = "failed"
		}
		if source == "" {
			source = "not compared"
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\t%v\t%s\n", printable(r.DatabaseName), r.Role, r.Date, verdict,
			humanize.Bytes(uint64(r.Size)), humanize.Comma(r.Rows), r.Load.Round(time.Millisecond), source)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.say("%s: %s. Certificate: /drills/%s", d.Verdict, printable(d.Text), d.ID)
	return nil
}

// drillAnswer is a drill as --json writes it: that of GET /drills/:id.
func drillAnswer(d backup.Drill) map[string]any {
	results := make([]map[string]any, len(d.Results))
	for i, r := range d.Results {
		results[i] = map[string]any{
			"database": r.DatabaseName, "database_id": r.DatabaseID, "role": r.Role, "backup_id": r.CopyID, "key": r.Key, "taken_at": r.TakenAt,
			"size_bytes": r.Size, "tables": r.Tables, "rows": r.Rows, "passed": r.Passed, "untried": r.Untried, "error": r.Error, "next": r.Next,
			"load_ms": r.Load.Milliseconds(), "check_ms": r.Check.Milliseconds(), "again_ms": r.Again.Milliseconds(), "source": r.Source, "source_text": r.SourceText,
		}
	}
	return map[string]any{
		"id": d.ID, "verdict": d.Verdict, "text": d.Text, "trigger": d.Trigger, "created_at": d.CreatedAt, "started_at": d.StartedAt, "ended_at": d.EndedAt,
		"databases": d.Databases, "passed": d.Passed, "failed": d.Failed, "results": results, "url": "/drills/" + d.ID,
	}
}

// drillError turns a drill's end into the exit code.
func drillError(d backup.Drill) error {
	switch d.Verdict {
	case backup.DrillPassed:
		return nil
	case backup.DrillCancelled:
		return &codeError{exitError, fmt.Errorf("the drill was %s", printable(d.Text))}
	}
	code := exitError
	for _, r := range d.Results {
		switch {
		case r.Passed:
		case r.Untried || r.CopyID == "":
			code = max(code, exitPartial)
		default:
			return &codeError{exitCorrupt, fmt.Errorf("the drill failed: %s", printable(d.Text))}
		}
	}
	return &codeError{code, fmt.Errorf("the drill failed: %s", printable(d.Text))}
}
