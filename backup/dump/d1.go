package dump

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// ForD1 writes the dump in r as D1's importer takes it: without the framing,
// which D1 refuses, and with PRAGMA defer_foreign_keys=ON instead. It has
// neither header nor footer, so that none takes it for the dump itself; its
// last line is a comment that says so. A statement that Allowed refuses ends it.
//
// The dump is verified on the way, and its end is known last: on an error what
// was written must be thrown away.
func ForD1(w io.Writer, r io.Reader) error {
	src := NewReader(r, ReaderOptions{})
	h, err := src.Header()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 128<<10)
	fmt.Fprintf(out, "-- From a Patina SQL dump, for D1's importer, to be loaded into an empty database.\n%s%s\nPRAGMA defer_foreign_keys=ON;\n",
		databaseLine, escape(nil, h.Database))
	var section *Section
	for {
		s, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if s.Kind == Framing {
			continue
		}
		if err := Allowed(s); err != nil {
			return err
		}
		if src.section != section {
			section = src.section
			fmt.Fprintf(out, "%s%s\n", marker(section.Kind), escape(nil, section.Name))
		}
		_, _ = out.Write(s.SQL)
		if err := out.WriteByte('\n'); err != nil { // a bufio.Writer keeps its first error
			return fmt.Errorf("dump: write: %w", err)
		}
	}
	c := src.Contents()
	fmt.Fprintf(out, "-- the end: %d tables, %d rows\n", c.Tables, c.Rows)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("dump: write: %w", err)
	}
	return nil
}
