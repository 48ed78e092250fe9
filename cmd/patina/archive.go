package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

func (a *app) archiveCommand() *cobra.Command {
	var useEmbedded, wait bool
	cmd := &cobra.Command{
		Use:   "archive WEEK",
		Short: "Ask the running installation for a week's archive",
		Long: `Puts the archive of a week that is over into the queue of a running installation,
as its weekly schedule does. A worker (patina serve, patina demo) makes it: the
seven UTC dates that end on the week's Sunday, of every database, as one tar.gz
out of which each dump can be read alone.

A week that is archived already is not archived again: its archive is read from
end to end and every hash in it compared, and it stays as it is.`,
		Example: "  patina archive 2026-W48 --wait",
		Args:    exactly("WEEK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := object.ParseWeek(args[0]); err != nil {
				return &usageError{err}
			}
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return a.requestArchive(ctx, in, args[0], wait)
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the job to its end")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) requestArchive(ctx context.Context, in *installation, week string, wait bool) error {
	started, err := a.request(ctx, in, backup.Request{Action: backup.ActionArchive, Week: week}, "archive", func(backup.Started) string { return week })
	if err != nil {
		return err
	}
	if !wait {
		return a.unfollowed(started, map[string]any{"week": week})
	}
	end, err := a.follow(ctx, in.store, started.JobID)
	if err != nil {
		return err
	}
	if end.job.Status != backup.JobCompleted {
		return &codeError{exitError, fmt.Errorf("the archive was not made (%s); every copy is where it was: %s", end.job.Status, printable(end.job.Error))}
	}
	return a.showArchive(ctx, in, week, end.job)
}

// archiveAnswer is an archive as --json gives it.
type archiveAnswer struct {
	Week       string              `json:"week"`
	Key        string              `json:"key"`
	Size       int64               `json:"size_bytes"`
	SHA256     string              `json:"sha256"`
	From       backup.Date         `json:"from"`
	To         backup.Date         `json:"to"`
	Members    int                 `json:"members"`
	Missing    []backup.ArchiveGap `json:"missing"`
	VerifiedAt time.Time           `json:"verified_at"`
}

// showArchive tells what there is now. A week without a copy has no archive.
func (a *app) showArchive(ctx context.Context, in *installation, week string, job backup.Job) error {
	for _, t := range job.Transitions {
		if t.Status == backup.JobCompleted && t.Reason != "" {
			a.say("%s: %s", week, printable(t.Reason))
		}
	}
	e, err := in.store.Archive(ctx, week)
	if backup.Kind(err) == backup.ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(archiveAnswer{e.Week, e.Key, e.Size, e.SHA256, e.From, e.To, e.Members, e.Missing, e.VerifiedAt.UTC()})
	}
	for _, g := range e.Missing {
		a.say("  missing: %s of %s: %s", printable(g.DatabaseName), g.Date, printable(g.Reason))
	}
	_, err = fmt.Fprintf(a.out, "%s  %d copies of %s to %s  %s  sha256 %s\n", e.Key, e.Members, e.From, e.To, humanize.Bytes(uint64(e.Size)), e.SHA256)
	return err
}
