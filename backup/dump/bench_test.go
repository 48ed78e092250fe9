package dump_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// benchRows are rows such as databases hold, and ones of a single sort.
var benchRows = map[string][]dump.Value{
	"mixed":    {integer("1234567"), text("ada.lovelace@example.com"), text("The oldest trees of the grove keep the names of those who planted them; it's a custom, they say."), real("13.25"), null, integer("1"), text("2026-11-23T03:00:04Z"), text(strings.Repeat("Age as armor, time as protection. ", 8))},
	"article":  {integer("42"), text(strings.Repeat("Age as armor; time as protection – naïve, and it's true. ", 80))},
	"short":    {integer("42"), text("ada"), text("x"), integer("7")},
	"integers": {integer("1234567"), integer("-5"), integer("1700000000000"), integer("0"), integer("99")},
	"reals":    {real("51.5072178"), real("-0.1275862"), real("0.30000000000000004"), real("99.5")},
	"blob":     {integer("42"), blob(strings.Repeat("00FFA0", 1000))},
	"staged":   {integer("42"), text(strings.Repeat("Age as armor, time as protection. ", 8000))},
}

// BenchmarkRow writes rows, hashing included; MB/s are of SQL.
func BenchmarkRow(b *testing.B) {
	for _, name := range []string{"mixed", "article", "short", "integers", "reals", "blob", "staged"} {
		b.Run(name, func(b *testing.B) {
			row := benchRows[name]
			columns := strings.Split(strings.Repeat("c,", len(row)-1)+"c", ",")
			w := dump.NewWriter(io.Discard, testHeader)
			check(b, w.BeginTable(dump.Table{Name: "t", SQL: "CREATE TABLE t(c)", Columns: columns, AllColumns: true}))
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Row(row); err != nil {
					b.Fatal(err)
				}
			}
			_, _, size := w.Progress()
			b.SetBytes(size / int64(b.N))
		})
	}
}

// BenchmarkLiterals writes values alone, without hashes.
func BenchmarkLiterals(b *testing.B) {
	for _, name := range []string{"mixed", "article", "short", "integers", "reals", "blob"} {
		b.Run(name, func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				buf = buf[:0]
				for _, v := range benchRows[name] {
					buf = dump.AppendLiteral(buf, v)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func benchDump(b *testing.B) []byte {
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, testHeader)
	check(b, w.BeginTable(dump.Table{Name: "t", SQL: "CREATE TABLE t(a,b,c,d,e,f,g,h)", Columns: strings.Split("a,b,c,d,e,f,g,h", ","), AllColumns: true}))
	for range 50_000 {
		check(b, w.Row(benchRows["mixed"]))
	}
	check(b, w.EndTable())
	_, err := w.Finish(testFooter)
	check(b, err)
	return buf.Bytes()
}

func BenchmarkVerify(b *testing.B) {
	text := benchDump(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := dump.Verify(bytes.NewReader(text))
		check(b, err)
	}
}

func BenchmarkForD1(b *testing.B) {
	text := benchDump(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		check(b, dump.ForD1(io.Discard, bytes.NewReader(text)))
	}
}
