// Package prove shows that a stored copy restores: its bytes are read back,
// hashed, loaded into a fresh SQLite database and dumped again, and the second
// dump must be the first one; where it is asked for, what was loaded is compared
// by value with what the source holds now.
//
// It owns what "proven" means. It believes nothing of what it reads: statements
// that no dump of ours can hold are refused before anything runs, and memory,
// disk and time are bounded. It changes no copy and no catalogue.
package prove

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// Options bound a proof; the zero value means the defaults.
type Options struct {
	Scratch string        // folder for the database that is loaded; "" is the system's
	MaxSQL  int64         // bytes of SQL, before compression: 64 GiB
	MaxTime time.Duration // for all of it: 5 min and a second for each 64 KiB of SQL that there may be, at most 6 h
	Clock   func() time.Time
	// Keep is where the loaded database is left when the copy has proven, in
	// the scratch folder's file system; "" for nowhere. What is there already is
	// overwritten.
	Keep string
	// Live gives the copy's source, to compare with by value once all else holds;
	// nil: do not.
	Live func(databaseID, name string) source.Source
}

func (o *Options) defaults(m *backup.Manifest) {
	if o.MaxSQL == 0 {
		o.MaxSQL = 64 << 30
	}
	if m != nil && m.SQLSize > 0 {
		o.MaxSQL = min(o.MaxSQL, m.SQLSize)
	}
	if o.MaxTime == 0 {
		o.MaxTime = min(6*time.Hour, 5*time.Minute+time.Duration(o.MaxSQL>>16)*time.Second)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
}

// Proof is what was found. An error beside it says that the copy is not proven:
// of kind ErrCorrupt where the copy is at fault, of another where it could not
// be tried.
type Proof struct {
	Header      dump.Header
	Contents    dump.Contents
	Size        int64  // stored bytes
	SHA256      string // of the stored bytes
	Origin      Origin
	ForeignKeys int64            // rows of foreign_key_check
	Findings    []backup.Finding // what D1 itself would not take
	Load        time.Duration    // reading, hashing and loading
	Check       time.Duration    // integrity, foreign keys, row counts
	Again       time.Duration    // the second dump
	marker      *marker
	members     *members    // nil without gzip
	Live        *Comparison // with the source; nil where it was not asked for
}

// Origin says what vouches for where a dump came from.
type Origin string

// The origins.
const (
	SelfConsistent Origin = "self-consistent, origin unknown" // only its own hashes
	FromManifest   Origin = "the copy that its manifest describes"
)

// Copy proves a stored copy, which its manifest describes, wherever it lies.
func Copy(ctx context.Context, b object.Bucket, c backup.Copy, opt Options) (*Proof, error) {
	r, err := archive.OpenCopy(ctx, b, c)
	if err != nil {
		if errors.Is(err, backup.ErrNotFound) {
			err = &backup.Error{Kind: backup.ErrCorrupt, Message: c.Key + " is missing from the bucket", Err: err}
		}
		return nil, fmt.Errorf("prove %s: %w", c.DatabaseName, err)
	}
	defer r.Close()
	p, err := Dump(ctx, r, c.Compression, c.Manifest, opt)
	if err != nil {
		return p, fmt.Errorf("prove %s: %w", c.DatabaseName, err)
	}
	return p, nil
}

// Dump proves a dump that is read from stored. The manifest may be nil; with
// one, everything that it says must hold.
func Dump(ctx context.Context, stored io.Reader, c backup.Compression, m *backup.Manifest, opt Options) (*Proof, error) {
	opt.defaults(m)
	ctx, cancel := context.WithTimeoutCause(ctx, opt.MaxTime, backup.Errorf(backup.ErrCorrupt, "proving took longer than %v", opt.MaxTime))
	defer cancel()
	dir, remove, err := newScratch(opt.Scratch)
	if err != nil {
		return nil, err
	}
	defer remove()
	defer Bound()()
	p := &Proof{Origin: SelfConsistent, marker: newMarker()}
	path := filepath.Join(dir, "copy.sqlite")
	began := opt.Clock()
	if err := p.load(ctx, stored, c, m, path, opt); err != nil {
		return p, err
	}
	if m != nil {
		p.Origin = FromManifest
		if err := p.agrees(m); err != nil {
			return p, err
		}
	}
	loaded := opt.Clock()
	p.Load = loaded.Sub(began)
	if err := p.check(ctx, path, m); err != nil {
		return p, err
	}
	checked := opt.Clock()
	p.Check = checked.Sub(loaded)
	if err := p.again(ctx, path); err != nil {
		return p, err
	}
	p.Again = opt.Clock().Sub(checked)
	if opt.Live != nil || opt.Keep != "" {
		if err := p.marker.putBack(ctx, path); err != nil {
			return p, inTime(ctx, err)
		}
	}
	if opt.Live != nil {
		if err := p.compare(ctx, path, m, opt.Live(p.Header.DatabaseID, p.Header.Database)); err != nil {
			return p, err
		}
	}
	return p, keep(path, opt.Keep)
}

// keep leaves the loaded database, on the disk for good, under another name.
func keep(path, as string) error {
	if as == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), os.Rename(path, as))
	}
	if err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "the loaded database cannot be kept as " + as, Err: err}
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return backup.Errorf(backup.ErrCorrupt, format, args...)
}

// load reads the stored bytes to their end and runs the dump's statements.
func (p *Proof) load(ctx context.Context, stored io.Reader, c backup.Compression, m *backup.Manifest, path string, opt Options) error {
	sum := sha256.New()
	in := &watched{ctx: ctx, r: io.TeeReader(stored, sum)}
	sql := io.Reader(in)
	if c == backup.Gzip {
		z, err := newMembers(in)
		if err != nil {
			return in.blame(&backup.Error{Kind: backup.ErrCorrupt, Message: "it is not a gzip file", Err: err})
		}
		p.members, sql = z, z
	}
	// One byte more than may be there: the dump's own end then comes too late.
	text := &io.LimitedReader{R: sql, N: opt.MaxSQL + 1}
	d := dump.NewReader(text, dump.ReaderOptions{})
	h, err := d.Header()
	if err != nil {
		return in.blame(&backup.Error{Kind: backup.ErrCorrupt, Message: "it is not a dump", Err: err})
	}
	p.Header = h
	if m != nil && h.DatabaseID != m.DatabaseID {
		return corrupt("it is a dump of the database %s (%s), not of %s (%s)", h.Database, h.DatabaseID, m.DatabaseName, m.DatabaseID)
	}
	l, err := newLoader(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	if err := p.run(ctx, d, l); err != nil {
		if text.N <= 0 {
			err = corrupt("its SQL is longer than %d bytes, the most that it can be", opt.MaxSQL)
		}
		return in.blame(err)
	}
	p.Contents = d.Contents()
	if _, err := io.Copy(io.Discard, in); err != nil {
		return in.blame(err)
	}
	p.Size, p.SHA256 = in.n, hex.EncodeToString(sum.Sum(nil))
	return l.commit(ctx)
}

// run shows each statement to the allow-list, to the linter and to SQLite.
func (p *Proof) run(ctx context.Context, d *dump.Reader, l *loader) error {
	lint := dump.NewLinter()
	for {
		s, err := d.Next()
		if errors.Is(err, io.EOF) {
			for _, f := range lint.Findings() {
				p.Findings = append(p.Findings, backup.Finding{Code: f.Code, Object: f.Object, Message: f.Message})
			}
			return nil
		}
		if err != nil {
			return &backup.Error{Kind: backup.ErrCorrupt, Message: "it is not a whole dump", Err: err}
		}
		if s.Kind == dump.Framing {
			continue
		}
		if err := dump.Allowed(s); err != nil {
			return &backup.Error{Kind: backup.ErrCorrupt, Message: "it holds a statement that no dump of Patina's holds, which was not run", Err: err}
		}
		lint.Add(s)
		s.SQL = p.marker.mark(s)
		if err := l.exec(ctx, s); err != nil {
			return err
		}
	}
}

// again dumps the loaded database: only where that gives the same body is
// nothing lost on the way through.
func (p *Proof) again(ctx context.Context, path string) error {
	src, err := source.OpenFile(ctx, path)
	if err != nil {
		return fmt.Errorf("open the loaded copy: %w", err)
	}
	defer func() { _ = src.Close() }()
	var loaded source.Source = src
	if len(p.marker.found) > 0 {
		loaded = unmarked{src, p.marker.word}
	}
	c, err := export.Contents(ctx, loaded)
	if err != nil {
		return inTime(ctx, err)
	}
	if c.BodySHA256 == p.Contents.BodySHA256 {
		return nil
	}
	for i, s := range c.Sections {
		if i >= len(p.Contents.Sections) || s.Name != p.Contents.Sections[i].Name || s.SHA256 != p.Contents.Sections[i].SHA256 {
			return corrupt("a dump of the loaded copy differs from it, first in the section %s", s.Name)
		}
	}
	return corrupt("a dump of the loaded copy has another body: %d sections, not %d", len(c.Sections), len(p.Contents.Sections))
}

// inTime gives the reason for a context's end, where that is what ended it.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watched counts the stored bytes, ends with the context, and remembers an error
// of the bucket's, which is no fault of the copy.
type watched struct {
	ctx context.Context
	r   io.Reader
	n   int64
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
		return 0, w.err
	}
	n, err := w.r.Read(b)
	w.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// blame gives the bucket's error where there was one, else err.
func (w *watched) blame(err error) error {
	if w.err != nil && w.ctx.Err() == nil {
		return fmt.Errorf("read the stored bytes: %w", w.err)
	}
	return inTime(w.ctx, err)
}
