package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// readyFile is a whole dump, or a variant of one in a file of its own.
type readyFile struct {
	*os.File
	own bool
}

// discard takes the variant's file away; where it got a name it keeps that.
func (f readyFile) discard() {
	if f.own {
		_, _ = f.Close(), os.Remove(f.Name())
	}
}

// ready makes what was asked for of the whole dump in tmp: the dump as it is,
// or in the form for D1, or one of its tables.
func (a *app) ready(tmp *os.File, o exportOptions) (readyFile, error) {
	if o.target == "" && o.table == "" {
		return readyFile{tmp, false}, nil
	}
	f, err := scratch(o.output)
	if err != nil {
		return readyFile{}, err
	}
	out := readyFile{f, true}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		out.discard()
		return readyFile{}, err
	}
	if err := writeVariant(f, tmp, o); err != nil {
		out.discard()
		return readyFile{}, err
	}
	return out, nil
}

// writeVariant writes the dump in r in the form that the options ask for.
func writeVariant(w io.Writer, r io.Reader, o exportOptions) error {
	if o.compression == backup.Gzip {
		plain, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<20))
		if err != nil {
			return &backup.Error{Kind: backup.ErrCorrupt, Message: "the copy is not gzip, although it was stored as such", Err: err}
		}
		r = plain
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	var err error
	if o.table != "" {
		err = dump.OneTable(buf, r, o.table, dump.TableOptions{ForD1: o.target == "d1", As: o.as})
	} else {
		err = dump.ForD1(buf, r)
	}
	var unknown *dump.UnknownTable
	switch {
	case errors.As(err, &unknown):
		return &backup.Error{Kind: backup.ErrNotFound, Message: unknown.Error(), Err: err}
	case errors.Is(err, dump.ErrInvalid):
		return &backup.Error{Kind: backup.ErrInvalid, Message: strings.TrimPrefix(err.Error(), "invalid: "), Err: err}
	case errors.Is(err, dump.ErrCorrupt), errors.Is(err, dump.ErrRefused), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum):
		return &backup.Error{Kind: backup.ErrCorrupt, Message: "the copy is no whole dump: nothing was written", Err: err}
	case err != nil:
		return fmt.Errorf("write the dump in another form: %w", err)
	}
	return buf.Flush()
}
