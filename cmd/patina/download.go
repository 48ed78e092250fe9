package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

func (a *app) downloadCommand() *cobra.Command {
	var useEmbedded bool
	var date string
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "download NAME|BACKUP",
		Short: "Fetch a stored backup and check it",
		Long: `Fetches a stored backup out of the bucket: the newest one of a database, that of
a date, or one by its id. Its SHA-256 is compared with the catalogue before the
file appears or a byte goes to stdout.

With --for d1 it is written as D1's importer takes it. With --table it is that one
table alone, without a DROP: its definition, its rows, its sequence, its indexes and
its triggers; with --as under another name, so that it can be loaded beside the
table that lives.`,
		Example: "  patina download groveauth -o groveauth.sql\n  patina download groveauth --date 2026-11-23 --for d1 -o import.sql\n  patina download groveauth --table users --as users_restored --for d1 -o users.sql",
		Args:    exactly("NAME|BACKUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if a.json && (o.output == "" || o.output == "-") {
				return usagef("--json describes the backup on stdout: send the dump to a file with -o")
			}
			var day backup.Date
			if date != "" {
				d, err := backup.ParseDate(date)
				if err != nil {
					return &usageError{err}
				}
				day = d
			}
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return a.download(ctx, in, args[0], day, o)
			})
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "the backup of this date, as 2006-01-02 (default the newest)")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to this file (default stdout)")
	cmd.Flags().StringVar(&o.target, "for", "", "d1: as D1's importer takes it")
	cmd.Flags().StringVar(&o.table, "table", "", "this table alone")
	cmd.Flags().StringVar(&o.as, "as", "", "the table under this name")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace the file if it exists")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) download(ctx context.Context, in *installation, what string, day backup.Date, o exportOptions) error {
	if o.output == "-" {
		o.output = ""
	}
	c, err := findCopy(ctx, in.store, what, day)
	if err != nil {
		return err
	}
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return err
	}
	tmp, err := scratch(o.output)
	if err != nil {
		return err
	}
	defer func() { _, _ = tmp.Close(), os.Remove(tmp.Name()) }()
	release, err := in.store.ReadingFor(ctx, "a download", c.ID)
	if err != nil {
		return err
	}
	defer release()
	line := newLine(a.err, a.clock)
	err = fetch(ctx, bucket, c, tmp, line)
	line.done()
	if err != nil {
		return err
	}
	o.compression = c.Compression
	ready, err := a.ready(tmp, o)
	if err != nil {
		return err
	}
	defer ready.discard()
	if err := in.record(ctx, "download", "backup "+c.ID+" of "+c.DatabaseName+", "+c.Key, "sent"); err != nil {
		return err
	}
	if err := a.deliver(ready.File, o); err != nil {
		return err
	}
	a.say("%s of %s: %s, sha256 %s", c.DatabaseName, c.Date, humanize.Bytes(uint64(c.Size)), c.SHA256)
	if a.json {
		return a.printJSON(copyAnswer(c))
	}
	return nil
}

// findCopy finds a backup by its id, or by the database's name and a date.
func findCopy(ctx context.Context, s *store.Store, what string, day backup.Date) (backup.Copy, error) {
	if uuidText.MatchString(what) {
		c, err := s.Copy(ctx, what)
		if err == nil && c.DeletedAt != nil {
			err = backup.Errorf(backup.ErrNotFound, "the backup %s was deleted on %s", what, c.DeletedAt.UTC().Format("2006-01-02"))
		}
		return c, err
	}
	db, err := s.DatabaseByName(ctx, what)
	if err != nil {
		return backup.Copy{}, err
	}
	if !day.IsZero() {
		return s.BestCopy(ctx, db.ID, day)
	}
	newest, err := s.NewestCopies(ctx, db.ID, 20)
	if err != nil {
		return backup.Copy{}, err
	}
	for _, c := range newest {
		if c.Proof != backup.ProofSuspect && c.QuarantinedAt == nil {
			return c, nil
		}
	}
	return backup.Copy{}, &backup.Error{Kind: backup.ErrNotFound, Message: "no backup of " + what + " is stored", Next: "patina backup " + what + " --wait makes one."}
}

// fetch reads an object into a file and refuses what the catalogue does not
// know it as.
func fetch(ctx context.Context, bucket object.Bucket, c backup.Copy, tmp *os.File, line *line) error {
	body, err := archive.OpenCopy(ctx, bucket, c)
	if errors.Is(err, backup.ErrNotFound) {
		return &backup.Error{Kind: backup.ErrCorrupt, Message: "the object " + c.Key + " is missing from " + bucket.String(), Next: "Take another date: patina list --database " + c.DatabaseName, Err: err}
	}
	if err != nil {
		return err
	}
	defer body.Close()
	n := int64(0)
	count := writerFunc(func(b []byte) (int, error) {
		n += int64(len(b))
		line.show("%s  %s of %s", c.DatabaseName, humanize.Bytes(uint64(n)), humanize.Bytes(uint64(c.Size)))
		return len(b), nil
	})
	_, err = io.Copy(io.MultiWriter(tmp, count), body)
	if errors.Is(err, backup.ErrCorrupt) {
		return &backup.Error{Kind: backup.ErrCorrupt, Message: err.Error() + "; nothing was written", Next: "Take another date: patina list --database " + c.DatabaseName}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Key, err)
	}
	return nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
