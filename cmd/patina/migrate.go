package main

import (
	"context"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/jobs"
)

// embeddedFlag gives a command --embedded.
func embeddedFlag(cmd *cobra.Command, v *bool) {
	cmd.PersistentFlags().BoolVar(v, "embedded", false, "where DATABASE_URL is not set: the embedded Postgres under PATINA_DATA")
}

func (a *app) migrateCommand() *cobra.Command {
	var useEmbedded bool
	up := func(cmd *cobra.Command, _ []string) error {
		return a.withTables(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
			if err := in.migrate(ctx); err != nil {
				return err
			}
			list, err := in.store.Migrations(ctx)
			if err != nil {
				return err
			}
			a.say("The tables are at version %d.", list[len(list)-1].Version)
			return nil
		})
	}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the tables in Postgres to this program's version",
		Long: `Brings the tables in Postgres to this program's version: ours and the queue's,
under one lock, so that any number of processes may do it at once. A database
that a newer Patina migrated is refused and left alone.`,
		Args: noArgs,
		RunE: up,
	}
	status := &cobra.Command{
		Use: "status", Short: "List the migrations and when each was applied", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTables(cmd.Context(), useEmbedded, a.migrateStatus)
		},
	}
	a.jsonFlag(status)
	embeddedFlag(cmd, &useEmbedded)
	cmd.AddCommand(&cobra.Command{Use: "up", Short: "Apply what is missing", Args: noArgs, RunE: up}, status)
	return cmd
}

// withTables opens the store without asking for tables in it.
func (a *app) withTables(ctx context.Context, useEmbedded bool, f func(context.Context, *installation) error) error {
	cfg := loadConfig(a.env, a.configFile)
	var needs []need
	if !useEmbedded {
		needs = append(needs, needStore)
	}
	if err := cfg.Validate(needs...); err != nil {
		return err
	}
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	in, err := a.openStore(ctx, cfg, log, useEmbedded)
	if err != nil {
		return err
	}
	return closing(ctx, in, f(ctx, in))
}

// closing ends an installation and keeps the first error.
func closing(ctx context.Context, in *installation, err error) error {
	if closeErr := in.close(ctx); err == nil {
		return closeErr
	}
	return err
}

func (a *app) migrateStatus(ctx context.Context, in *installation) error {
	list, err := in.store.Migrations(ctx)
	if err != nil {
		return err
	}
	queue, err := jobs.QueueMigrations(ctx, in.store.Pool())
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"migrations": list, "queue": queue})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tNAME\tAPPLIED")
	for _, m := range list {
		applied := "waiting"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, m.Name, applied)
	}
	for _, m := range queue {
		fmt.Fprintf(w, "queue %d\t%s\t%s\n", m.Version, m.Name, map[bool]string{true: "applied", false: "waiting"}[m.Applied])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return nil
}
