package source

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"

	_ "modernc.org/sqlite" // the driver "sqlite": no cgo, with FTS5 and R*Tree
)

// File is a local SQLite file, read in one transaction from Open to Close.
type File struct {
	db   *sql.DB
	conn *sql.Conn
	name string
	size int64
}

// sqliteMagic opens every SQLite database file; see "Database File Format",
// section 1.3.1.
const sqliteMagic = "SQLite format 3\x00"

// OpenFile opens a SQLite database file for reading, and begins the
// transaction. An empty file is an empty database; a file that is no database
// is refused as ErrInvalid.
func OpenFile(ctx context.Context, path string) (*File, error) {
	size, err := checkFile(path)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	// A file is read with suspicion: nothing in its schema may call what is not
	// harmless, and damaged cells are found when they are met.
	dsn := (&url.URL{Scheme: "file", Path: abs}).String() +
		"?mode=ro&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=busy_timeout(10000)&_pragma=query_only(1)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := &File{db: db, name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), size: size}
	if f.conn, err = db.Conn(ctx); err == nil {
		_, err = f.conn.ExecContext(ctx, "BEGIN")
	}
	if err == nil { // the snapshot is taken by the first read, not by BEGIN
		var n int64
		err = f.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
	}
	if err != nil {
		_ = db.Close()
		return nil, &backup.Error{Kind: fileKind(err), Message: path + " cannot be read as a SQLite database", Next: "check the file with: sqlite3 FILE 'PRAGMA integrity_check'", Err: err}
	}
	return f, nil
}

func checkFile(path string) (int64, error) {
	fh, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, backup.Errorf(backup.ErrNotFound, "there is no file %s", path)
	}
	if err != nil {
		return 0, &backup.Error{Kind: backup.ErrDenied, Message: path + " cannot be opened", Err: err}
	}
	defer fh.Close()
	st, err := fh.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return 0, backup.Errorf(backup.ErrInvalid, "%s is not a regular file", path)
	}
	head := make([]byte, len(sqliteMagic))
	n, err := io.ReadFull(fh, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	if n > 0 && string(head[:n]) != sqliteMagic {
		return 0, backup.Errorf(backup.ErrInvalid, "%s is not a SQLite database (a dump is loaded with sqlite3 NEW.db < FILE)", path)
	}
	return st.Size(), nil
}

// Close ends the transaction and closes the file.
func (f *File) Close() error {
	return errors.Join(f.conn.Close(), f.db.Close())
}

// Bookmark gives "": a file has no Time Travel.
func (f *File) Bookmark(context.Context) (string, error) { return "", nil }

// Describe names the source after the file, without its ending.
func (f *File) Describe() Description {
	return Description{Name: f.name, OneTransaction: true, Exact: true}
}

// Read runs the statements one after another on the transaction's connection.
func (f *File) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	stats := backup.ReadStats{Primary: true, SizeAfter: f.size}
	err := f.conn.Raw(func(c any) error {
		for i, s := range statements {
			if err := f.read(ctx, c.(driver.QueryerContext), i, s, h, &stats); err != nil {
				return err
			}
		}
		return nil
	})
	return stats, err
}

func (f *File) read(ctx context.Context, c driver.QueryerContext, stmt int, query string, h backup.RowHandler, stats *backup.ReadStats) error {
	rows, err := c.QueryContext(ctx, query, nil)
	if err != nil {
		return f.fault(err)
	}
	defer func() { _ = rows.Close() }()
	names := rows.Columns()
	if err := h.Columns(stmt, names); err != nil {
		return err
	}
	values := make([]driver.Value, len(names))
	cells := make([]backup.Cell, len(names))
	var arena []byte
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return f.fault(err)
		}
		arena = arena[:0]
		for i, v := range values {
			if cells[i], arena, err = cellOf(v, arena); err != nil {
				return fmt.Errorf("read %s: column %s: %w", f.name, names[i], err)
			}
			stats.Bytes += int64(len(cells[i].Bytes))
		}
		stats.RowsRead++
		if err := h.Row(stmt, cells); err != nil {
			return err
		}
	}
}

// cellOf turns what the driver gives into a cell. Bytes of numbers and texts
// are put in the arena; a cell keeps its bytes when the arena moves.
func cellOf(v driver.Value, arena []byte) (backup.Cell, []byte, error) {
	start := len(arena)
	kind := backup.CellText
	switch v := v.(type) {
	case nil:
		return backup.Cell{}, arena, nil
	case string:
		arena = append(arena, v...)
	case []byte:
		arena = append(arena, v...)
	case int64:
		kind, arena = backup.CellNumber, strconv.AppendInt(arena, v, 10)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return backup.Cell{}, arena, fmt.Errorf("%w: a number that is not finite", backup.ErrInvalid)
		}
		kind, arena = backup.CellNumber, strconv.AppendFloat(arena, v, 'g', -1, 64)
	default:
		return backup.Cell{}, arena, fmt.Errorf("%w: the driver gave a %T", backup.ErrInvalid, v)
	}
	return backup.Cell{Kind: kind, Bytes: arena[start:len(arena):len(arena)]}, arena, nil
}

func (f *File) fault(err error) error {
	return fmt.Errorf("read %s: %w", f.name, &backup.Error{Kind: fileKind(err), Message: "SQLite refused", Err: err})
}

// fileKind: SQLite's own words for a damaged file are corrupt, all else is a
// question that it would not answer.
func fileKind(err error) error {
	if s := err.Error(); strings.Contains(s, "malformed") || strings.Contains(s, "not a database") {
		return backup.ErrCorrupt
	}
	return backup.ErrInvalid
}
