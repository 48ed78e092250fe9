package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

func (a *app) listCommand() *cobra.Command {
	var useEmbedded bool
	var f store.CopyFilter
	var date, kind string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the stored backups",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if date != "" {
				d, err := backup.ParseDate(date)
				if err != nil {
					return &usageError{err}
				}
				f.Date = d
			}
			if f.Kind = backup.CopyKind(kind); kind != "" && !f.Kind.Valid() {
				return usagef("--kind is %q, and must be daily, manual, weekly, safety or kept", kind)
			}
			if f.Limit < 1 || f.Limit > 1000 {
				return usagef("--limit must be between 1 and 1000")
			}
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return a.listCopies(ctx, in, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.Database, "database", "", "only this database")
	cmd.Flags().StringVar(&date, "date", "", "only this date, as 2006-01-02")
	cmd.Flags().StringVar(&kind, "kind", "", "only daily, manual, weekly, safety or kept")
	cmd.Flags().IntVar(&f.Limit, "limit", 100, "at most so many")
	cmd.Flags().StringVar(&f.Cursor, "cursor", "", "go on where the answer before ended (next_cursor)")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

// copyJSON is a stored backup as --json writes it: the fields of GET /list.
type copyJSON struct {
	ID          string             `json:"id"`
	Database    string             `json:"database"`
	Date        backup.Date        `json:"date"`
	Kind        backup.CopyKind    `json:"kind"`
	Key         string             `json:"key"`
	Size        int64              `json:"size_bytes"`
	SHA256      string             `json:"sha256"`
	BodySHA256  string             `json:"body_sha256"`
	Tables      int                `json:"tables"`
	Rows        int64              `json:"rows"`
	Consistency backup.Consistency `json:"consistency"`
	Proof       backup.ProofState  `json:"proof"`
	CreatedAt   time.Time          `json:"created_at"`
	Location    backup.Location    `json:"location"`
	ArchivedIn  string             `json:"archived_in"` // the week; "" for none
}

func copyAnswer(c backup.Copy) copyJSON {
	return copyJSON{c.ID, c.DatabaseName, c.Date, c.Kind, c.Key, c.Size, c.SHA256, c.BodySHA256, c.Tables, c.Rows, c.Consistency, c.Proof, c.CreatedAt.UTC(), c.Location(), c.Archived.Week}
}

func (a *app) listCopies(ctx context.Context, in *installation, f store.CopyFilter) error {
	copies, next, err := in.store.Copies(ctx, f)
	if err != nil {
		return err
	}
	if a.json {
		out := make([]copyJSON, len(copies))
		for i, c := range copies {
			out[i] = copyAnswer(c)
		}
		return a.printJSON(map[string]any{"backups": out, "next_cursor": next})
	}
	if len(copies) == 0 {
		a.say("No backup is stored that fits.")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATABASE\tDATE\tKIND\tSIZE\tROWS\tPROOF\tBACKUP\tKEY")
	for _, c := range copies {
		where := c.Key
		if c.Location() == backup.InArchive {
			where = c.Archived.Name + " in the archive " + c.Archived.Week
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(c.DatabaseName), c.Date, c.Kind,
			humanize.Bytes(uint64(c.Size)), humanize.Comma(c.Rows), c.Proof, c.ID, where)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if next != "" {
		a.say("There are more: patina list --cursor %s", next)
	}
	return nil
}
