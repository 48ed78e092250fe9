package restore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	_ "modernc.org/sqlite" // the driver

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// IntoFile restores a dump into a new SQLite file: it is proven, and what was
// loaded for the proof is kept. With tables, only they are, with their indexes
// and triggers. The file appears whole or not at all, and never over another.
// Errors: ErrConflict where there is a file; ErrCorrupt where the dump is no good.
func IntoFile(ctx context.Context, stored io.Reader, c backup.Compression, m *backup.Manifest, path string, tables []string, opt prove.Options) (*prove.Proof, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, occupied(path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".patina-restore-")
	if err != nil {
		return nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "no file can be made beside " + path, Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	opt.Scratch, opt.Keep = dir, filepath.Join(dir, "restored.sqlite")
	p, err := prove.Dump(ctx, stored, c, m, opt)
	if err != nil {
		return p, err
	}
	if len(tables) > 0 {
		if err := only(ctx, opt.Keep, tables); err != nil {
			return p, err
		}
	}
	return p, publish(opt.Keep, path)
}

// File is IntoFile with the usual bounds, for those who only want the file.
func File(ctx context.Context, stored io.Reader, c backup.Copy, path string, tables []string) error {
	_, err := IntoFile(ctx, stored, c.Compression, c.Manifest, path, tables, prove.Options{})
	return err
}

func occupied(path string) error {
	return &backup.Error{Kind: backup.ErrConflict, Message: path + " exists and was left as it is", Next: "Name a file that does not exist."}
}

// publish gives the file its name, never over another one.
func publish(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		if err != nil {
			return occupied(to)
		}
		return nil
	}
	// A file system without hard links: look, then rename.
	if _, err := os.Lstat(to); err == nil {
		return occupied(to)
	}
	return os.Rename(from, to)
}

// only takes away all but some tables, their bytes too. The file is not
// vacuumed, which may number rows anew.
func only(ctx context.Context, path string, tables []string) error {
	src, err := source.OpenFile(ctx, path)
	if err != nil {
		return err
	}
	s, err := readShape(ctx, src)
	if err = errors.Join(err, src.Close()); err != nil {
		return err
	}
	for _, t := range tables {
		if !slices.Contains(s.tables, t) && !slices.Contains(s.virtual, t) {
			return backup.Errorf(backup.ErrInvalid, "the copy has no table called %q; nothing was written", t)
		}
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(0)&_pragma=secure_delete(1)")
	if err != nil {
		return fmt.Errorf("open the restored database: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var drops []string
	for _, v := range s.views {
		drops = append(drops, "DROP VIEW IF EXISTS "+dump.QuoteIdent(v))
	}
	for _, t := range slices.Concat(s.virtual, s.tables) {
		if !slices.Contains(tables, t) {
			drops = append(drops, "DROP TABLE IF EXISTS "+dump.QuoteIdent(t))
		}
	}
	for _, q := range drops {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s in the restored database: %w", q, err)
		}
	}
	return nil
}

// loadScript runs SQL of a verified dump in a new scratch database.
func loadScript(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	defer prove.Bound()()
	db, err := sql.Open("sqlite", "file:"+path+"?_defensive=1&_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=foreign_keys(0)&_pragma=trusted_schema(0)&_pragma=locking_mode(exclusive)")
	if err != nil {
		return fmt.Errorf("make the scratch database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("make the scratch database: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var text []byte
	lines := writerFunc(func(b []byte) (int, error) {
		n := len(b)
		for len(b) > 0 {
			end := bytes.IndexByte(b, '\n') + 1
			if end == 0 {
				text = append(text, b...)
				break
			}
			text, b = append(text, b[:end]...), b[end:]
			if at := dump.StatementEnd(text); at >= 0 {
				if _, err := tx.ExecContext(ctx, string(text)); err != nil {
					return 0, fmt.Errorf("load the copy: %w", err)
				}
				text = text[:0]
			}
		}
		return n, nil
	})
	if err := write(lines); err != nil {
		return err
	}
	return tx.Commit()
}
