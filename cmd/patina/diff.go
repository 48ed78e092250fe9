package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// diffOptions is what the flags of `patina diff` say.
type diffOptions struct {
	table    string
	rows     bool
	limit    int // rows that are shown; 0 for all
	exitCode bool
}

func (a *app) diffCommand() *cobra.Command {
	var useEmbedded bool
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "What changed between two dumps or backups",
		Long: `Says what changed from A to B: tables, columns, indexes, views and triggers that
came, went or changed, and how many rows of each table were added, removed or
changed, told apart by their key. Each of the two is a dump's file (.sql or .sql.gz),
which needs no Postgres, no bucket and no server, or the id of a backup in the
catalogue.

With --rows the rows themselves follow: "+" added, "-" removed, "~" changed.

Exit code 4: one of the two is damaged. With --exit-code: 1 where they differ.`,
		Example: `  patina diff monday.sql tuesday.sql
  patina diff 01a20d05-4cf1-732b-b675-75b4ac1ac044 groveauth.sql --table users --rows`,
		Args: exactly("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.limit < 0:
				return usagef("--limit must not be below 0")
			case o.limit != 100 && !o.rows:
				return usagef("--limit bounds the rows that are shown: give --rows too")
			}
			if !uuidText.MatchString(args[0]) && !uuidText.MatchString(args[1]) {
				return a.diff(cmd.Context(), nil, args, o)
			}
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return a.diff(ctx, in, args, o)
			})
		},
	}
	cmd.Flags().StringVar(&o.table, "table", "", "only this table")
	cmd.Flags().BoolVar(&o.rows, "rows", false, "show the rows that differ")
	cmd.Flags().IntVar(&o.limit, "limit", 100, "at most so many rows; 0 for all")
	cmd.Flags().BoolVar(&o.exitCode, "exit-code", false, "end with 1 where the two differ")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

// compared is one side of a comparison, opened.
type compared struct {
	dump.Side
	label  string
	backup *backup.Copy // nil for a file
	close  func()
}

func (a *app) diff(ctx context.Context, in *installation, names []string, o diffOptions) error {
	var sides [2]*compared
	for i, name := range names {
		side, err := openCompared(ctx, in, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer side.close()
		sides[i] = side
	}
	p := &diffPrinter{app: a, o: o}
	opt := dump.DiffOptions{Table: o.table}
	if o.rows {
		for _, s := range sides {
			if s.backup == nil {
				continue
			}
			if err := in.record(ctx, "download", "rows of backup "+s.backup.ID+" of "+s.backup.DatabaseName+", "+s.backup.Key, "sent"); err != nil {
				return err
			}
		}
		opt.Row = p.row
	}
	d, err := dump.Diff(sides[0].Side, sides[1].Side, opt)
	if err != nil {
		return diffError(err)
	}
	if err := p.finish(sides, d); err != nil {
		return err
	}
	if o.exitCode && !d.Same() {
		return &codeError{code: exitError}
	}
	return nil
}

func diffError(err error) error {
	var unknown *dump.UnknownTable
	switch {
	case errors.As(err, &unknown):
		return &backup.Error{Kind: backup.ErrNotFound, Message: unknown.Error(), Err: err}
	case errors.Is(err, dump.ErrCorrupt):
		return &backup.Error{Kind: backup.ErrCorrupt, Message: "one of the two is damaged", Next: "`patina verify` says which, and where.", Err: err}
	}
	return err
}

// openCompared opens a backup by its id, or a file.
func openCompared(ctx context.Context, in *installation, name string) (*compared, error) {
	if !uuidText.MatchString(name) {
		return openComparedFile(name)
	}
	c, err := in.store.Copy(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.DeletedAt != nil {
		return nil, backup.Errorf(backup.ErrNotFound, "the backup was deleted on %s", c.DeletedAt.UTC().Format("2006-01-02"))
	}
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return nil, err
	}
	side, err := archive.Side(ctx, bucket, c)
	if err != nil {
		return nil, err
	}
	return &compared{side, fmt.Sprintf("%s of %s, taken %s", c.DatabaseName, c.Date, c.TakenAt.UTC().Format("2006-01-02 15:04:05 UTC")), &c, func() {}}, nil
}

// openComparedFile opens a dump's file and vouches for it. One that is
// compressed is unpacked beside, for it is read at many places.
func openComparedFile(name string) (*compared, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, backup.Errorf(backup.ErrNotFound, "there is no such file, and it is not the id of a backup")
	}
	if err != nil {
		return nil, err
	}
	done := func() { _ = f.Close() }
	if strings.HasSuffix(name, ".gz") {
		packed := f
		f, err = unpack(packed)
		_ = packed.Close()
		if err != nil {
			return nil, err
		}
		done = func() { _, _ = f.Close(), os.Remove(f.Name()) }
	}
	h, c, err := dump.Verify(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		done()
		return nil, &backup.Error{Kind: backup.ErrCorrupt, Message: "it is no whole dump", Err: err}
	}
	label := fmt.Sprintf("%s, taken %s", h.Database, h.TakenAt.Format("2006-01-02 15:04:05 UTC"))
	return &compared{dump.Side{Contents: c, Open: func(offset, length int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(f, offset, length)), nil
	}}, label, nil, done}, nil
}

// unpack writes what a gzip file holds into a file that the caller takes away.
func unpack(packed io.Reader) (*os.File, error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(packed, 1<<20))
	if err != nil {
		return nil, &backup.Error{Kind: backup.ErrCorrupt, Message: "it is not gzip, although it is called so", Err: err}
	}
	f, err := scratch("")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, z) //nolint:gosec // as long as the file is; the disk bounds it
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	} else {
		err = &backup.Error{Kind: backup.ErrCorrupt, Message: "it cannot be unpacked", Err: err}
	}
	if err != nil {
		_, _ = f.Close(), os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}
