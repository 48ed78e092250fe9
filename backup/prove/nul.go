package prove

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
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
