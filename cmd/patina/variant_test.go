package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// TestVariantsOfACompressedCopy: what is made of a copy is the same whether it
// is stored compressed, one member a table, or not.
func TestVariantsOfACompressedCopy(t *testing.T) {
	t.Parallel()
	var plain, zipped bytes.Buffer
	w := dump.NewWriter(&plain, dump.Header{Database: "groveauth", TakenAt: time.Date(2026, 11, 23, 3, 0, 4, 0, time.UTC)})
	for _, name := range []string{"users", "posts"} {
		if err := errors.Join(
			w.BeginTable(dump.Table{Name: name, SQL: "CREATE TABLE " + name + "(a)", Columns: []string{"a"}, AllColumns: true}),
			w.Row([]dump.Value{{Kind: dump.Text, Bytes: []byte("of " + name)}}), w.EndTable(),
		); err != nil {
			t.Fatal(err)
		}
	}
	c, err := w.Finish(dump.Footer{Consistency: "snapshot"})
	if err != nil {
		t.Fatal(err)
	}
	from := 0
	for _, to := range []int{int(c.Sections[0].Offset), int(c.Sections[1].Offset), plain.Len()} {
		z := gzip.NewWriter(&zipped)
		_, err := z.Write(plain.Bytes()[from:to])
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	for name, o := range map[string]exportOptions{"d1": {target: "d1"}, "table": {table: "posts"}, "table for d1": {table: "posts", as: "old", target: "d1"}} {
		var want, got bytes.Buffer
		if err := writeVariant(&want, bytes.NewReader(plain.Bytes()), o); err != nil {
			t.Fatal(err)
		}
		o.compression = backup.Gzip
		if err := writeVariant(&got, bytes.NewReader(zipped.Bytes()), o); err != nil || got.String() != want.String() || !bytes.Contains(want.Bytes(), []byte("of posts")) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, &got, &want)
		}
		if err := writeVariant(&got, bytes.NewReader(zipped.Bytes()[:zipped.Len()-30]), o); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("%s of a cut copy: %v", name, err)
		}
		if err := writeVariant(&got, bytes.NewReader(plain.Bytes()), o); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("%s of what is not gzip: %v", name, err)
		}
	}
}
