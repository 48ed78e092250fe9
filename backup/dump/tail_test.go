package dump_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// The footer alone says what the whole dump does, and where it is cut it says
// nothing.
func TestTail(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"testdata/sample.sql", "testdata/empty.sql"} {
		text, err := os.ReadFile(name)
		check(t, err)
		_, want, err := dump.Verify(bytes.NewReader(text))
		check(t, err)
		for _, n := range []int{len(text), min(len(text), 700), min(len(text), dump.TailBytes)} {
			got, err := dump.Tail(text[len(text)-n:])
			if err != nil || got.BodySHA256 != want.BodySHA256 || got.Rows != want.Rows || got.Tables != want.Tables || got.BodySize != want.BodySize || got.Footer != want.Footer {
				t.Errorf("%s, %d bytes: %+v, %v; want %+v", name, n, got, err, want)
			}
		}
		for cut := 1; cut < min(len(text), 900); cut++ {
			if got, err := dump.Tail(text[:len(text)-cut]); !errors.Is(err, dump.ErrCorrupt) {
				t.Fatalf("%s without its last %d bytes: %+v, %v", name, cut, got, err)
			}
		}
		if _, err := dump.Tail(append(bytes.Clone(text), "more\n"...)); !errors.Is(err, dump.ErrCorrupt) {
			t.Errorf("%s with something after it: %v", name, err)
		}
	}
	if _, err := dump.Tail(nil); !errors.Is(err, dump.ErrCorrupt) {
		t.Error(err)
	}
}
