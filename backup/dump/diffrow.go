package dump

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// RowDiff is a row that differs.
type RowDiff struct {
	Table  string  `json:"table"`
	Change Change  `json:"change"`
	Fields []Field `json:"fields"`
}

// Field is one value of a row, before and after.
type Field struct {
	Name   string     `json:"name"`
	Key    bool       `json:"key,omitempty"`    // it identifies the row
	Before *DiffValue `json:"before,omitempty"` // nil where the row or the column is not on that side
	After  *DiffValue `json:"after,omitempty"`
}

// Same tells whether the field is on both sides and holds the same value. Of
// values that are cut short only the beginnings are compared.
func (f Field) Same() bool {
	return f.Before != nil && f.After != nil && f.Before.Kind == f.After.Kind && f.Before.Size == f.After.Size && bytes.Equal(f.Before.Bytes, f.After.Bytes)
}

// DiffValue is a value of a row: as a Value has it, but a real may be a
// product (see real.go), and a long one may be cut short.
type DiffValue struct {
	Kind  Kind
	Bytes []byte
	Size  int64 // of all of it, in bytes of text or digits of a blob
}

// Cut tells whether only the beginning is there.
func (v DiffValue) Cut() bool { return int64(len(v.Bytes)) < v.Size }

// MarshalJSON writes {"type":…,"value":…}: numbers as text, so that none is
// rounded, blobs and text that is not UTF-8 as hex. One that is cut short has
// its whole length in bytes.
func (v DiffValue) MarshalJSON() ([]byte, error) {
	out := struct {
		Type  string  `json:"type"`
		Value *string `json:"value,omitempty"`
		Hex   *string `json:"hex,omitempty"`
		Bytes int64   `json:"bytes,omitempty"`
	}{Type: v.Kind.String()}
	text := string(v.Bytes)
	switch {
	case v.Kind == Null:
	case v.Kind == Blob:
		out.Hex = &text
	case v.Kind == Text && !utf8.ValidString(text):
		digits := string(appendHex(nil, v.Bytes))
		out.Hex = &digits
	default:
		out.Value = &text
	}
	if v.Cut() {
		if out.Bytes = v.Size; v.Kind == Blob {
			out.Bytes /= 2
		}
	}
	return json.Marshal(out)
}

// Clone gives a copy of the row that stays, its values cut to at most so many
// bytes of text or digits where most is above 0.
func (r RowDiff) Clone(most int) RowDiff {
	out := RowDiff{Table: r.Table, Change: r.Change, Fields: make([]Field, len(r.Fields))}
	clone := func(v *DiffValue) *DiffValue {
		if v == nil {
			return nil
		}
		b := v.Bytes
		if most > 0 && len(b) > most {
			n := most &^ 1
			if v.Kind == Text {
				for back := 0; n > 0 && back < utf8.UTFMax-1 && !utf8.RuneStart(b[n]); back++ {
					n--
				}
			}
			b = b[:n]
		}
		return &DiffValue{v.Kind, bytes.Clone(b), v.Size}
	}
	for i, f := range r.Fields {
		out.Fields[i] = Field{f.Name, f.Key, clone(f.Before), clone(f.After)}
	}
	return out
}
