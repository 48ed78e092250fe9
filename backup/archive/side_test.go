package archive_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// TestSide compares two nights' copies as objects of their own, one of them
// compressed, and out of the archive: the difference is the same.
func TestSide(t *testing.T) {
	t.Parallel()
	b := folder(t)
	from, _ := archive.Dates(w53)
	copies := nights(t, b, from, 2, zipped)
	m := makeOne(t, b, request(copies))
	archived := map[string]backup.Copy{}
	for _, member := range m.Members {
		for _, c := range copies {
			if c.ID == member.CopyID {
				c.Archived = backup.Archived{Week: m.Week, Name: member.Name, Offset: member.Offset, Length: member.Length}
				c.ObjectGone = true
				archived[c.ID] = c
			}
		}
	}
	half := len(copies) / 2
	differing := 0
	for i, before := range copies[:half] {
		after := copies[half+i]
		if before.DatabaseID != after.DatabaseID {
			t.Fatal("the copies are not of the same database")
		}
		compare := func(x, y backup.Copy) string {
			t.Helper()
			a, err := archive.Side(t.Context(), b, x)
			if err != nil {
				t.Fatal(err)
			}
			c, err := archive.Side(t.Context(), b, y)
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			d, err := dump.Diff(a, c, dump.DiffOptions{Row: func(dump.RowDiff) error { rows++; return nil }})
			if err != nil {
				t.Fatalf("%s: %v", x.DatabaseName, err)
			}
			if !d.Same() {
				differing++
			}
			return fmt.Sprintf("%+v, %d rows", d, rows)
		}
		want := compare(before, after)
		for _, pair := range [][2]backup.Copy{{archived[before.ID], after}, {before, archived[after.ID]}, {archived[before.ID], archived[after.ID]}} {
			if got := compare(pair[0], pair[1]); got != want {
				t.Errorf("%s: out of the archive\n%s\nas objects\n%s", before.DatabaseName, got, want)
			}
		}
	}
	if differing == 0 {
		t.Error("a night passed and nothing differs")
	}
	bare := copies[0]
	bare.Manifest = nil
	if _, err := archive.Side(t.Context(), b, bare); !errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("without a manifest: %v", err)
	}
}
