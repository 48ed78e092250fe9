package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
)

func (a *app) backupCommand() *cobra.Command {
	var useEmbedded, all, wait bool
	cmd := &cobra.Command{
		Use:   "backup [NAME…|--all]",
		Short: "Ask the running installation for a backup now",
		Long: `Puts a backup into the queue of a running installation, as the button in the
dashboard does. A worker (patina serve, patina demo) carries it out.

With --wait it follows the job to its end, and the exit code says how that was:
0 everything stored, 5 some of it, 1 nothing.`,
		Example: "  patina backup groveauth --wait\n  patina backup --all",
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usagef("name the databases to back up, or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return a.requestBackup(ctx, in, args, wait)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every database of the registry that is not paused")
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the job to its end")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) requestBackup(ctx context.Context, in *installation, names []string, wait bool) error {
	started, err := a.request(ctx, in, backup.Request{Action: backup.ActionBackup, Databases: names}, "trigger", nil)
	if err != nil {
		return err
	}
	for _, s := range started.Skipped {
		a.say("%s was left out: job %s is backing it up already", s.Name, s.JobID)
	}
	a.say("Job %s: %s", started.JobID, printable(strings.Join(started.Databases, ", ")))
	if !wait {
		return a.unfollowed(started, map[string]any{"databases": orEmpty(started.Databases)})
	}
	end, err := a.follow(ctx, in.store, started.JobID)
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(jobAnswer(end)); err != nil {
			return err
		}
	} else if err := a.printResults(end); err != nil {
		return err
	}
	return jobError(end.job)
}

// jobError turns a job's end into the exit code.
func jobError(job backup.Job) error {
	switch job.Status {
	case backup.JobCompleted:
		return nil
	case backup.JobPartial:
		return &codeError{exitPartial, fmt.Errorf("the job is partial: %d of %d databases were stored", job.Totals.Succeeded, job.Totals.Databases)}
	case backup.JobCancelled:
		return &codeError{exitError, fmt.Errorf("the job was cancelled")}
	}
	return &codeError{exitError, fmt.Errorf("the job failed: nothing was stored; earlier backups are untouched")}
}
