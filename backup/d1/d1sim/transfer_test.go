package d1sim

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// An import runs to its end when whoever asked for it has gone, and a query that
// is interrupted leaves the database as usable as it was.
func TestCallerGoes(t *testing.T) {
	t.Parallel()
	a, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	id, err := a.Create("shop")
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.find(id)
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if n, err := a.runScript(gone, d, "CREATE TABLE people(name); INSERT INTO people VALUES('Ada')"); n != 2 || err != nil {
		t.Errorf("the import: %d statements, %v", n, err)
	}
	if _, err := a.answer(gone, d, []query{{SQL: "SELECT 1"}}, false, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a query of nobody's: %v", err)
	}
	out, err := a.answer(t.Context(), d, []query{{SQL: "SELECT name FROM people"}}, true, false)
	if err != nil || !bytes.Contains(out, []byte(`"Ada"`)) {
		t.Errorf("afterwards: %s, %v", out, err)
	}
}
