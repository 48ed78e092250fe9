package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/retention"
)

func (a *app) pruneCommand() *cobra.Command {
	var useEmbedded, dry, all, wait bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete what retention lets go, or show what that would be",
		Long: `Puts a cleanup into the queue of a running installation, as its weekly schedule
does. A worker (patina serve, patina demo) carries it out: copies whose time has
come are deleted, what must stay is taken out of archives that go, and the bucket
is compared with the catalogue. Nothing that the catalogue does not know is
deleted.

With --dry-run nothing is changed: the plan is shown, each line with its reason;
with --all every copy that stays too.`,
		Example: "  patina prune --dry-run\n  patina prune --wait",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all && !dry || wait && dry {
				return usagef("--all goes with --dry-run, and --wait without")
			}
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				if dry {
					return a.showPlan(ctx, in, all)
				}
				return a.requestCleanup(ctx, in, wait)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would be done, and do nothing")
	cmd.Flags().BoolVar(&all, "all", false, "with --dry-run: show what stays too, and why")
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the job to its end")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

// planAnswer is a plan as --json gives it.
type planAnswer struct {
	Policy   retention.Policy   `json:"policy"`
	Held     string             `json:"held"` // why nothing would go now; "" otherwise
	Pending  *retention.Pending `json:"pending"`
	Copies   int                `json:"copies_to_delete"`
	Archives int                `json:"archives_to_delete"`
	Plan     []retention.Entry  `json:"plan"`
}

func (a *app) showPlan(ctx context.Context, in *installation, all bool) error {
	h, want, state, err := retention.Load(ctx, in.store, in.cfg.Keep)
	if err != nil {
		return err
	}
	plan, next := retention.Cautious(h, want, state, in.clock())
	out := planAnswer{Policy: want, Held: plan.Held, Pending: next.Pending, Plan: orEmpty(plan.Entries(h, all))}
	out.Copies, out.Archives = plan.Drops()
	if a.json {
		return a.printJSON(out)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	var size int64
	for _, e := range out.Plan {
		if e.Action == retention.Delete {
			size += e.Size
		}
		why := printable(e.Reason)
		if e.Until != nil {
			why = "until " + e.Until.UTC().Format(time.DateOnly) + ": " + why
		}
		if e.Held != "" {
			why += "; held back: " + printable(e.Held)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Action, printable(e.Key), humanize.Bytes(uint64(e.Size)), why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.say("Kept: dailies %d days, archives %d weeks, other copies %d days.", want.Daily, want.Weekly, want.Other)
	a.say("Would be deleted now: %d copies' objects and %d archives, %s.", out.Copies, out.Archives, humanize.Bytes(uint64(size)))
	if plan.Held != "" {
		a.say("Nothing may go now: %s.", printable(plan.Held))
	}
	if p := next.Pending; p != nil {
		a.say("More would go, and waits until %s, or until an admin confirms it: %s.", p.Until.UTC().Format("2006-01-02 15:04 UTC"), printable(p.Why))
	}
	return nil
}

func (a *app) requestCleanup(ctx context.Context, in *installation, wait bool) error {
	started, err := a.request(ctx, in, backup.Request{Action: backup.ActionCleanup}, "cleanup", nil)
	if err != nil {
		return err
	}
	if !wait {
		return a.unfollowed(started, nil)
	}
	end, err := a.follow(ctx, in.store, started.JobID)
	if err != nil {
		return err
	}
	if end.job.Status != backup.JobCompleted {
		return &codeError{exitError, fmt.Errorf("the cleanup ended as %s; what it had not deleted is where it was: %s", end.job.Status, printable(end.job.Error))}
	}
	return a.showReport(ctx, in)
}

// showReport tells what the last cleanup did.
func (a *app) showReport(ctx context.Context, in *installation) error {
	var rep retention.Report
	if _, err := in.store.Setting(ctx, retention.ReportSetting, &rep); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(rep)
	}
	for _, l := range rep.Lines {
		if _, err := fmt.Fprintf(a.out, "%s  %s\n", printable(l.What), printable(l.Text)); err != nil {
			return err
		}
	}
	a.say("Deleted %d copies' objects and %d archives, %s; %d copies were taken out of archives.", rep.Copies, rep.Archives, humanize.Bytes(uint64(rep.Bytes)), rep.Kept)
	if rep.Held != "" {
		a.say("Held back: %s.", printable(rep.Held))
	}
	if n := rep.Missing + rep.Resized; n > 0 {
		return &codeError{exitCorrupt, fmt.Errorf("%d objects are not in the bucket as the catalogue knows them", n)}
	}
	return nil
}
