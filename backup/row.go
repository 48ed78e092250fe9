package backup

import (
	"context"
	"time"
)

// CellKind is what JSON can tell apart in an answer of D1.
type CellKind uint8

// The kinds of cell.
const (
	CellNull CellKind = iota
	CellText
	CellNumber
)

// Cell is one value of one row as it came over the wire: text is the decoded
// bytes of the JSON string (a local file may hold text that is not UTF-8), a
// number is its literal. Bytes are valid only until the handler returns.
type Cell struct {
	Kind  CellKind
	Bytes []byte
}

// RowHandler receives the answers of a read as they arrive. An error it
// returns ends the read and is returned by it.
type RowHandler interface {
	// Columns is called once for each statement, before its rows; stmt counts from 0.
	Columns(stmt int, names []string) error
	// Row is called for each row; cells are reused after it returns.
	Row(stmt int, cells []Cell) error
}

// ReadStats is what a read cost and where it was served.
type ReadStats struct {
	RowsRead  int64         // as billed
	SizeAfter int64         // bytes of the database; 0 when unknown
	Bytes     int64         // of the answer
	Primary   bool          // every statement was served by the primary
	Duration  time.Duration // at the server, summed
}

// Reader runs read-only statements in one transaction and hands each row to h
// as it arrives. The statements carry no parameters: D1 takes numbers as
// doubles, so every value is written as its exact literal.
type Reader interface {
	Read(ctx context.Context, statements []string, h RowHandler) (ReadStats, error)
}
