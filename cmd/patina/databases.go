package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
)

func (a *app) databasesCommand() *cobra.Command {
	var useEmbedded, gone bool
	list := func(cmd *cobra.Command, _ []string) error {
		return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
			return a.listDatabases(ctx, in, gone)
		})
	}
	cmd := &cobra.Command{Use: "databases", Short: "The registry: which databases are backed up", Args: noArgs, RunE: list}
	listCmd := &cobra.Command{Use: "list", Short: "List the registry", Args: noArgs, RunE: list}
	listCmd.Flags().BoolVar(&gone, "gone", false, "also those that the account no longer has")
	sync := &cobra.Command{
		Use: "sync", Short: "Find the account's databases; new ones are protected from now on", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withInstallation(cmd.Context(), useEmbedded, a.syncDatabases, needAccount)
		},
	}
	embeddedFlag(cmd, &useEmbedded)
	for _, c := range []*cobra.Command{cmd, listCmd, sync} {
		a.jsonFlag(c)
	}
	cmd.AddCommand(listCmd, sync)
	return cmd
}

// withInstallation opens an installation, runs f and closes it.
func (a *app) withInstallation(ctx context.Context, useEmbedded bool, f func(context.Context, *installation) error, needs ...need) error {
	in, err := a.openInstallation(ctx, useEmbedded, needs...)
	if err != nil {
		return err
	}
	return closing(ctx, in, f(ctx, in))
}

// databaseJSON is a registry entry as --json writes it.
type databaseJSON struct {
	Name          string          `json:"name"`
	ID            string          `json:"id"`
	Binding       string          `json:"binding"`
	Description   string          `json:"description"`
	Priority      backup.Priority `json:"priority"`
	EstimatedSize int64           `json:"estimated_size"`
	Source        backup.Origin   `json:"source"`
	Paused        bool            `json:"paused"`
	GoneAt        *time.Time      `json:"gone_at"`
}

func (a *app) listDatabases(ctx context.Context, in *installation, gone bool) error {
	list, err := in.store.Databases(ctx, store.DatabaseFilter{Gone: gone})
	if err != nil {
		return err
	}
	if a.json {
		out := make([]databaseJSON, len(list))
		for i, d := range list {
			out[i] = databaseJSON{d.Name, d.ID, d.Binding, d.Description, d.Priority, d.EstimatedSize, d.Origin, d.Paused, d.GoneAt}
		}
		return a.printJSON(map[string]any{"databases": out})
	}
	if len(list) == 0 {
		a.say("The registry is empty. `patina databases sync` finds the account's databases.")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPRIORITY\tSIZE\tSTATE\tID")
	for _, d := range list {
		state := "protected"
		switch {
		case d.GoneAt != nil:
			state = "gone since " + d.GoneAt.UTC().Format(time.DateOnly)
		case d.Paused:
			state = "paused"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(d.Name), d.Priority, humanize.Bytes(uint64(max(0, d.EstimatedSize))), state, d.ID)
	}
	return w.Flush()
}

func (a *app) syncDatabases(ctx context.Context, in *installation) error {
	client, err := newD1(in.cfg, in.limiter(limiterName))
	if err != nil {
		return err
	}
	ids, err := in.lookUpIDs(ctx, client)
	if err != nil {
		return err
	}
	unknown, err := in.enterDatabases(ctx, ids)
	if err != nil {
		return err
	}
	r, err := in.runner(ctx, nil, client)
	if err != nil {
		return err
	}
	d, err := r.Discover(ctx)
	if err != nil {
		return err
	}
	for _, name := range unknown {
		a.say("%s stands in the configuration, and the account has no database of that name", name)
	}
	return a.reportDiscovery(d)
}

func (a *app) reportDiscovery(d jobs.Discovery) error {
	if a.json {
		renamed := make([]map[string]string, len(d.Renamed))
		for i, r := range d.Renamed {
			renamed[i] = map[string]string{"id": r.ID, "from": r.From, "to": r.To}
		}
		return a.printJSON(map[string]any{
			"found": d.Found, "new": orEmpty(d.New), "renamed": renamed, "gone": orEmpty(d.Gone), "back": orEmpty(d.Back), "excluded": orEmpty(d.Excluded),
		})
	}
	fmt.Fprintf(a.out, "The account has %d databases.\n", d.Found)
	tell := func(names []string, what string) {
		if len(names) > 0 {
			fmt.Fprintf(a.out, "%s: %s\n", what, printable(strings.Join(names, ", ")))
		}
	}
	tell(d.New, "new, and protected from now on")
	tell(d.Gone, "gone; their backups stay")
	tell(d.Back, "back")
	tell(d.Excluded, "left out by the configuration")
	for _, r := range d.Renamed {
		fmt.Fprintf(a.out, "renamed: %s is now %s\n", printable(r.From), printable(r.To))
	}
	return nil
}

// orEmpty makes JSON write [] and not null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
