package dump

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A row whose statement would pass MaxD1Statement goes in parts: its longest
// values are put, piece by piece, into a staging table of three columns (c the
// value's place in the row, s the piece's number, v the piece), and the row's
// own INSERT puts them together again. The staging table lives within one
// section, which stays whole by itself.

// SQLite's own tables that a dump fills again.
const (
	sequenceTable = "sqlite_sequence"
	statTable     = "sqlite_stat1"
)

const stagePrefix = "patina_stage"

// What the staging table's CREATE ends in, and that of the table that makes
// SQLite make sqlite_sequence.
const (
	stageColumns    = "(c INTEGER,s INTEGER,v,PRIMARY KEY(c,s));"
	sequenceColumns = "(c INTEGER PRIMARY KEY AUTOINCREMENT);"
)

// stageName tells whether name is one that a staging table may bear.
func stageName(name string) bool {
	rest, ok := strings.CutPrefix(name, stagePrefix)
	return ok && (rest == "" || rest[0] == '_' && len(rest) > 1 && strings.Trim(rest[1:], "0123456789") == "")
}

// pieceBytes is how much of a value one piece holds: written as hex it still
// fits its statement.
const pieceBytes = 49_000

// stage gives the quoted name of the staging table, one that no table, index,
// view or trigger of the database bears.
func (w *Writer) stage() string {
	name := stagePrefix
	for n := 2; ; n++ {
		if _, taken := w.reserved[name]; !taken {
			return QuoteIdent(name)
		}
		name = stagePrefix + "_" + strconv.Itoa(n)
	}
}

// stagedSize is the length of a staged value within its row's INSERT.
func stagedSize(stage string, column int) int {
	return len(appendStaged(nil, stage, column, Text))
}

func appendStaged(dst []byte, stage string, column int, kind Kind) []byte {
	dst = append(dst, '(')
	dst = append(dst, stagedHead...)
	if kind == Blob {
		dst = append(dst, "BLOB) FROM(SELECT v FROM "...)
	} else {
		dst = append(dst, "TEXT) FROM(SELECT v FROM "...)
	}
	dst = append(dst, stage...)
	dst = append(dst, " WHERE c="...)
	dst = strconv.AppendInt(dst, int64(column), 10)
	return append(dst, " ORDER BY s))"...)
}

// literalSize is the length of what appendLiteral appends, exact for text and
// blobs, which alone are staged.
func literalSize(v Value) int {
	switch v.Kind {
	case Text:
		return textSize(v.Bytes)
	case Blob:
		return len(v.Bytes) + len("X''")
	}
	return len(AppendLiteral(nil, v))
}

// weight is what a text or blob takes in a row; what numbers take is left out.
func (v Value) weight() int {
	switch v.Kind {
	case Text:
		return len(v.Bytes)
	case Blob:
		return len(v.Bytes) / 2
	}
	return 0
}

// stagedRow writes a row that is too long for one statement.
func (w *Writer) stagedRow(values []Value) error {
	weight := 0
	for _, v := range values {
		if v.Check() != nil {
			return w.invalidValue(values)
		}
		weight += v.weight()
	}
	w.lint.row(Statement{Table: w.table.Name}, weight)
	if w.stageTable == "" {
		w.stageTable = w.stage()
		w.buf = append(w.buf, "CREATE TABLE "...)
		w.buf = append(w.buf, w.stageTable...)
		w.buf = append(w.buf, stageColumns+"\n"...)
	}
	out := w.chooseStaged(values)
	for column, v := range values {
		if out[column] {
			if err := w.pieces(column, v); err != nil {
				return err
			}
		}
	}
	start := len(w.buf)
	w.buf = append(w.buf, w.insert...)
	for column, v := range values {
		if column > 0 {
			w.buf = append(w.buf, ',')
		}
		if out[column] {
			w.buf = appendStaged(w.buf, w.stageTable, column, v.Kind)
		} else {
			w.buf = AppendLiteral(w.buf, v)
		}
	}
	w.buf = append(w.buf, ");\n"...)
	if n := len(w.buf) - start - 1; n > MaxStatement {
		return w.fail("%w: a row of table %s takes a statement of %d bytes; a dump holds at most %d", ErrInvalid, QuoteIdent(w.table.Name), n, MaxStatement)
	} else if n > MaxD1Statement {
		w.lint.length(Statement{Table: w.table.Name}, w.table.Name, n)
	}
	w.buf = append(w.buf, "DELETE FROM "...)
	w.buf = append(w.buf, w.stageTable...)
	w.buf = append(w.buf, ";\n"...)
	return nil
}

// chooseStaged picks the longest values, the first of equals first, until the
// rest fits one statement.
func (w *Writer) chooseStaged(values []Value) []bool {
	type long struct{ column, saves int }
	size := len(w.insert) + len(values) - 1 + len(");")
	var longest []long
	for column, v := range values {
		n := literalSize(v)
		size += n
		if v.Kind == Text || v.Kind == Blob {
			if saves := n - stagedSize(w.stageTable, column); saves > 0 {
				longest = append(longest, long{column, saves})
			}
		}
	}
	slices.SortStableFunc(longest, func(a, b long) int { return cmp.Compare(b.saves, a.saves) })
	out := make([]bool, len(values))
	for _, l := range longest {
		if size <= MaxD1Statement {
			break
		}
		out[l.column] = true
		size -= l.saves
	}
	return out
}

// pieces puts one value into the staging table.
func (w *Writer) pieces(column int, v Value) error {
	rest := v.Bytes
	for number := 0; len(rest) > 0; number++ {
		n := pieceEnd(v.Kind, rest)
		w.buf = appendPiece(w.buf, w.stageTable, column, number, Value{v.Kind, rest[:n]})
		rest = rest[n:]
		if err := w.spill(); err != nil {
			return err
		}
	}
	return nil
}

// pieceEnd tells how much of a value the next piece takes. Text is cut between
// characters, so that it stays readable.
func pieceEnd(kind Kind, rest []byte) int {
	size := pieceBytes
	if kind == Blob {
		size *= 2 // hex digits
	}
	n := min(size, len(rest))
	if kind == Text && n < len(rest) {
		for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(rest[n]); back++ {
			n--
		}
	}
	return n
}

// appendPiece appends the statement that puts a piece into the staging table.
func appendPiece(dst []byte, stage string, column, number int, piece Value) []byte {
	dst = append(dst, "INSERT INTO "...)
	dst = append(dst, stage...)
	dst = append(dst, " VALUES("...)
	dst = strconv.AppendInt(dst, int64(column), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(number), 10)
	dst = append(dst, ',')
	dst = AppendLiteral(dst, piece)
	return append(dst, ");\n"...)
}

// unstage drops the staging table at its section's end.
func (w *Writer) unstage() {
	if w.stageTable == "" {
		return
	}
	w.buf = append(w.buf, "DROP TABLE "...)
	w.buf = append(w.buf, w.stageTable...)
	w.buf = append(w.buf, ";\n"...)
	w.stageTable = ""
}
