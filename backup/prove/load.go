package prove

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// loader runs a dump's statements in a new SQLite file, in one transaction.
type loader struct {
	db    *sql.DB
	conn  *sql.Conn
	path  string
	pages int64 // that the file may have
}

// Bounds of the database that is loaded. A value of D1 has at most 2,000,000
// bytes; local files may hold longer ones.
const (
	MaxValue  = 24 << 20
	pageBytes = 4096
	leastRoom = 10_000 // pages
	moreRoom  = 8 << 20
)

// room gives the pages that a database may take after so much of its text was
// read: rows, indexes and full-text indexes together take a few times that.
func room(sqlBytes int64) int64 { return sqlBytes/pageBytes*8 + leastRoom }

// newLoader makes the file. Nothing is kept safe in it, so nothing is journaled.
func newLoader(ctx context.Context, path string) (*loader, error) {
	pages := room(moreRoom)
	dsn := fmt.Sprintf("file:%s?_defensive=1&_pragma=page_size(%d)&_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=locking_mode(exclusive)"+
		"&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=foreign_keys(0)&_pragma=cache_size(-16384)&_pragma=temp_store(1)&_pragma=max_page_count(%d)", path, pageBytes, pages)
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("make the scratch database: %w", err)
	}
	l := &loader{db: db, path: path, pages: pages}
	if l.conn, err = db.Conn(ctx); err == nil {
		// 0 is the length of a value, 7 the number of attached databases
		// (https://www.sqlite.org/c3ref/c_limit_attached.html).
		for id, n := range map[int]int{0: MaxValue, 7: 0} {
			if _, e := sqlite.Limit(l.conn, id, n); e != nil {
				err = e
			}
		}
	}
	if err == nil {
		_, err = l.conn.ExecContext(ctx, "BEGIN")
	}
	if err != nil {
		_ = db.Close()
		return nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "the scratch database cannot be made", Err: err}
	}
	return l, nil
}

func (l *loader) exec(ctx context.Context, s dump.Statement) error {
	if pages := room(s.Offset + moreRoom); pages > l.pages+room(moreRoom) {
		l.pages = pages
		if _, err := l.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count=%d", pages)); err != nil {
			return inTime(ctx, err)
		}
	}
	err := l.conn.Raw(func(c any) error {
		_, err := c.(driver.ExecerContext).ExecContext(ctx, string(s.SQL), nil)
		return err
	})
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s of %s at byte %d", s.Kind, s.Section, s.Offset)
	if l.full(err) {
		return inTime(ctx, corrupt("%s makes the database take more than %d MB, which is not to be had from the text so far", what, l.pages*pageBytes>>20))
	}
	return inTime(ctx, refused(what, err))
}

// full tells a database that may not grow from a disk that has no room: there
// a file of twice the longest value can still be written.
func (l *loader) full(err error) bool {
	if !strings.Contains(err.Error(), "disk is full") {
		return false
	}
	f, err := os.CreateTemp(filepath.Dir(l.path), "room-")
	if err != nil {
		return false
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	block := bytes.Repeat([]byte{1}, 1<<20)
	for range 2 * MaxValue / len(block) {
		if _, err := f.Write(block); err != nil {
			return false
		}
	}
	return f.Sync() == nil
}

func (l *loader) commit(ctx context.Context) error {
	if _, err := l.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return inTime(ctx, refused("the end of the dump", err))
	}
	return l.close()
}

func (l *loader) close() error {
	if l.db == nil {
		return nil
	}
	err := errors.Join(l.conn.Close(), l.db.Close())
	l.db = nil
	return err
}

// refused tells a full disk, which is ours, from a statement that is no good.
func refused(what string, err error) error {
	m := err.Error()
	switch {
	case strings.Contains(m, "out of memory"):
		return corrupt("%s takes more than %d MiB of memory when it is loaded", what, MaxMemory>>20)
	case strings.Contains(m, "too big"):
		return corrupt("%s makes a value of more than %d MiB, the longest that is loaded here; D1's have at most 2 MB", what, MaxValue>>20)
	case strings.Contains(m, "disk is full"), strings.Contains(m, "disk I/O error"):
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "the scratch folder has no room to load the copy; the copy itself is untouched", Next: "make room there and prove it again", Err: err}
	}
	return &backup.Error{Kind: backup.ErrCorrupt, Message: "SQLite does not take " + what, Err: err}
}

// check looks at the loaded database: its structure, its foreign keys, and the
// number of rows of each table.
func (p *Proof) check(ctx context.Context, path string, m *backup.Manifest) error {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=trusted_schema(0)&_pragma=query_only(1)&_pragma=cache_size(-16384)")
	if err != nil {
		return fmt.Errorf("open the loaded copy: %w", err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	var word string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&word); err != nil || word != "ok" {
		return inTime(ctx, corrupt("integrity_check of the loaded copy says %q (%v)", word, err))
	}
	if err := p.checkKeys(ctx, db, m); err != nil {
		return err
	}
	for _, s := range p.Contents.Sections {
		if s.Kind == dump.KindSchema || s.Kind == dump.KindVirtual && s.Rows == 0 {
			continue // an index over another table's text shows that table's rows
		}
		var n int64
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+dump.QuoteIdent(s.Name)).Scan(&n); err != nil || n != s.Rows {
			return inTime(ctx, corrupt("the table %s has %d rows when it is loaded, and the dump has %d (%v)", s.Name, n, s.Rows, err))
		}
	}
	return nil
}

// checkKeys counts rows whose parents are missing. D1 can hold such rows, so
// they fail a copy only where the source, in the same transaction, had none.
func (p *Proof) checkKeys(ctx context.Context, db *sql.DB, m *backup.Manifest) error {
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM pragma_foreign_key_check`).Scan(&p.ForeignKeys)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil: // keys that do not match the tables they name: as at the source
		p.ForeignKeys = -1
	case p.ForeignKeys > 0 && m != nil && m.ForeignKeys == 0:
		return corrupt("%d rows of the loaded copy miss their parents, and at the source none did", p.ForeignKeys)
	case p.ForeignKeys > 0:
		code := "foreign-keys"
		if m != nil && m.ForeignKeys < 0 {
			code = "orphans" // the source was not asked: this is where it is learned
		}
		p.Findings = append(p.Findings, backup.Finding{Code: code, Message: fmt.Sprintf("%d rows name a parent that does not exist; D1 would refuse them in an import", p.ForeignKeys)})
	}
	return nil
}
