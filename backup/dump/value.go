package dump

// Kind is one of SQLite's five storage classes.
type Kind uint8

// The kinds of value.
const (
	Null Kind = iota
	Integer
	Real
	Text
	Blob
)

// Value is one value of a row.
type Value struct {
	Kind Kind
	// Bytes is, by Kind: Integer a decimal literal within int64; Real a decimal
	// literal as JSON has it, or Inf or -Inf; Text the bytes themselves, of any
	// sort; Blob its upper-case hex digits. Null has none.
	Bytes []byte
}

// QuoteIdent writes a name as a quoted identifier.
func QuoteIdent(name string) string { return "" }

// QuoteText writes text as an SQL literal that gives back the same bytes.
func QuoteText(b []byte) string { return "" }

// AppendLiteral appends the SQL literal of v to dst.
func AppendLiteral(dst []byte, v Value) []byte { return dst }
