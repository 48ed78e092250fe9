package dump

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// BenchmarkDiff compares two tables of 300,000 rows, of which one in a hundred
// differs.
func BenchmarkDiff(b *testing.B) {
	make := func(other bool) Side {
		var buf bytes.Buffer
		w := NewWriter(&buf, Header{Database: "db", TakenAt: time.Unix(0, 0)})
		_ = w.BeginTable(Table{Name: "t", SQL: "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body TEXT, n)", Columns: []string{"id", "name", "body", "n"}, AllColumns: true})
		for i := range 300_000 {
			n := i
			if other && i%100 == 0 {
				n++
			}
			_ = w.Row([]Value{{Integer, fmt.Append(nil, i)}, {Text, fmt.Append(nil, "name ", i)}, {Text, bytes.Repeat([]byte("some text "), 15)}, {Integer, fmt.Append(nil, n)}})
		}
		_ = w.EndTable()
		c, err := w.Finish(Footer{Consistency: "snapshot"})
		if err != nil {
			b.Fatal(err)
		}
		return sideOf(buf.Bytes(), c)
	}
	before, after := make(false), make(true)
	b.SetBytes(before.Contents.Size + after.Contents.Size)
	b.ReportAllocs()
	for b.Loop() {
		d, err := Diff(before, after, DiffOptions{})
		if err != nil || d.Tables[0].Changed != 3000 {
			b.Fatalf("%+v, %v", d, err)
		}
	}
}
