package prove

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// marker keeps text that is a number with a NUL behind it as text. The SQLite
// that a copy is loaded into here would make the number of it in a column of
// numeric affinity, where D1's engine kept the text: such a copy is good. So the
// NUL is loaded as a byte 1 and a word that nothing else holds, and what is
// dumped again has the NUL put back.
type marker struct {
	word  []byte
	found map[string]bool // tables
}

func newMarker() *marker {
	return &marker{word: append([]byte{1}, rand.Text()...), found: map[string]bool{}}
}

// mark gives the statement as it is to be run.
func (m *marker) mark(s dump.Statement) []byte {
	if s.Kind != dump.Insert || !bytes.Contains(s.SQL, []byte("CAST(X'")) {
		return s.SQL
	}
	var out []byte
	done := 0
	l := dump.NewLexer(s.SQL)
	for t := l.Next(); t.Kind != dump.TokenEnd; t = l.Next() {
		digits := s.SQL[t.Start:t.End]
		if t.Kind != dump.TokenBlob || !bytes.HasSuffix(s.SQL[:t.Start], []byte("CAST(")) {
			continue
		}
		text, err := hex.AppendDecode(nil, digits[len("X'"):len(digits)-1])
		if err != nil || !dump.NumberBeforeNUL(text) {
			continue
		}
		m.found[s.Section] = true
		out = append(out, s.SQL[done:t.Start]...)
		out = fmt.Appendf(out, "X'%X'", bytes.Replace(text, []byte{0}, m.word, 1))
		done = t.End
	}
	return append(out, s.SQL[done:]...)
}

// unmarked is a source with the NULs put back.
type unmarked struct {
	*source.File
	word []byte
}

func (u unmarked) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	return u.File.Read(ctx, statements, &unmarking{RowHandler: h, word: u.word})
}

type unmarking struct {
	backup.RowHandler
	word  []byte
	cells []backup.Cell
}

func (u *unmarking) Row(stmt int, cells []backup.Cell) error {
	u.cells = append(u.cells[:0], cells...)
	for i, c := range u.cells {
		if bytes.Contains(c.Bytes, u.word) {
			u.cells[i].Bytes = bytes.ReplaceAll(c.Bytes, u.word, []byte{0})
		}
	}
	return u.RowHandler.Row(stmt, u.cells)
}

// putBack puts the NULs back into the loaded database itself, where it is kept.
// Its triggers are away meanwhile: they are the application's, and not meant for
// this.
func (m *marker) putBack(ctx context.Context, path string) (err error) {
	if len(m.found) == 0 {
		return nil
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=trusted_schema(0)&_pragma=foreign_keys(0)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	drops, err := texts(ctx, tx, `SELECT 'DROP TRIGGER "' || replace(name, '"', '""') || '"' FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		return err
	}
	creates, err := texts(ctx, tx, `SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid`)
	if err != nil {
		return err
	}
	statements := drops
	for table := range m.found {
		columns, err := texts(ctx, tx, `SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0`, table)
		if err != nil {
			return err
		}
		for _, c := range columns {
			c, word := dump.QuoteIdent(c), dump.QuoteText(m.word)
			statements = append(statements, "UPDATE "+dump.QuoteIdent(table)+" SET "+c+" = replace("+c+", "+word+", char(0)) WHERE typeof("+c+") = 'text' AND instr("+c+", "+word+") > 0")
		}
	}
	for _, q := range append(statements, creates...) {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("put back the text of the loaded database: %w", err)
		}
	}
	return tx.Commit()
}

// texts gives the one column of a query.
func texts(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
