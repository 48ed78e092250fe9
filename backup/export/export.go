// Package export makes one dump of one database and stores it: d1 → dump →
// object. The result is a manifest; nothing of an export that died is listed.
//
// It owns what is read, in which order and how often, the label of consistency,
// and what happens when the key is taken already. It decides nothing of when a
// database is exported or how long the copy stays, and it writes to no database.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// Request says what to export and how to file it.
type Request struct {
	Key      object.Key
	CopyID   string // UUIDv7 of the copy to be made
	JobID    string
	ResultID string
	Kind     backup.CopyKind
	Trigger  backup.Trigger
	Date     backup.Date
	Version  string // of this program
	Compress backup.Compression
	Limits   Limits
	Redact   []backup.Redaction // what is left out; a rule that does not fit the database ends the export
	HashKey  []byte             // for the rule hash; see HashKey

	Clock    func() time.Time
	Progress func(backup.Progress)                      // called often, from the exporting goroutine; may be nil
	Hook     func(step string)                          // told "before:manifest", "after:manifest" and the bucket's steps; may be nil
	Pause    func(context.Context, time.Duration) error // waits between tries; nil: a timer
}

// Limits bound what an export asks of the database; the zero value means the
// defaults.
type Limits struct {
	SnapshotBytes int64 // a database up to this size is read in one transaction: 8 MiB; negative: never
	PageRows      int   // rows of the first page: 1,000
	PageBytes     int64 // what a page's answer should weigh: 4 MiB
	Attempts      int   // tries for a copy that nobody wrote during: 3
	Failures      int   // failed requests in a row before giving up: 5
}

func (l *Limits) defaults() {
	def := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	def(&l.SnapshotBytes, 8<<20)
	def(&l.PageBytes, 4<<20)
	if l.PageRows == 0 {
		l.PageRows = 1000
	}
	if l.Attempts == 0 {
		l.Attempts = 3
	}
	if l.Failures == 0 {
		l.Failures = 5
	}
}

func (req *Request) defaults() {
	req.Limits.defaults()
	if req.Clock == nil {
		req.Clock = time.Now
	}
	if req.Hook == nil {
		req.Hook = func(string) {}
	}
	if req.Progress == nil {
		req.Progress = func(backup.Progress) {}
	}
	if req.Compress == "" {
		req.Compress = backup.Plain
	}
	if req.Pause == nil {
		req.Pause = backup.Pause
	}
}

// Run exports src into dst under req.Key, and writes the manifest beside it.
// Where a whole dump of this database lies at the key already, from an earlier
// try, that one is taken and its manifest returned; where the key holds
// something else, the copy goes to the key's next attempt and a finding says so.
//
// Errors wrap backup's kinds: ErrUnavailable is worth another try later.
func Run(ctx context.Context, src source.Source, dst object.Bucket, req Request) (*backup.Manifest, error) {
	req.defaults()
	name := src.Describe().Name
	m, err := runInto(ctx, src, dst, req)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", name, err)
	}
	return m, nil
}

func runInto(ctx context.Context, src source.Source, dst object.Bucket, req Request) (*backup.Manifest, error) {
	var findings []backup.Finding
	for {
		m, err := adopt(ctx, src, dst, req)
		switch {
		case err == nil:
			m.Findings = append(m.Findings, findings...)
			return m, nil
		case errors.Is(err, backup.ErrCorrupt): // something else lies there: leave it and step aside
			findings = append(findings, foreign(req.Key, err))
			req.Key.Attempt++
			continue
		case !errors.Is(err, backup.ErrNotFound):
			return nil, err
		}
		m, err = store(ctx, src, dst, req, findings)
		if errors.Is(err, backup.ErrConflict) { // another process was first: look at what it wrote
			continue
		}
		return m, err
	}
}

func foreign(k object.Key, err error) backup.Finding {
	f := backup.Finding{Code: "key-taken", Object: k.String(), Serious: true}
	var other *otherRules
	if errors.As(err, &other) {
		f.Message = other.Error() + ": it lies at its key, was left there and is no copy in the catalogue; delete it where it must not be kept"
		return f
	}
	f.Message = "an object that is not a whole dump of this database lies at its key and was left there: " + err.Error()
	return f
}

// store makes a new object and its manifest.
func store(ctx context.Context, src source.Source, dst object.Bucket, req Request, findings []backup.Finding) (*backup.Manifest, error) {
	key := req.Key.String()
	r := newRun(src, req)
	out, err := r.export(ctx, func(ctx context.Context) (object.Upload, error) {
		return dst.Create(ctx, key, object.CreateOptions{ContentType: contentType(req.Compress), Hook: req.Hook})
	})
	if err != nil {
		return nil, err
	}
	if _, err := out.sink.upload.Commit(ctx); err != nil {
		_ = out.sink.upload.Abort(ctx)
		return nil, fmt.Errorf("store %s: %w", key, err)
	}
	m := r.manifest(out)
	m.Findings = append(m.Findings, findings...)
	if err := putManifest(ctx, dst, req, m); err != nil {
		return nil, err
	}
	return m, nil
}

func contentType(c backup.Compression) string {
	if c == backup.Gzip {
		return "application/gzip"
	}
	return "application/sql"
}

// ToFile exports src into an empty file, without a bucket: for the command line.
func ToFile(ctx context.Context, src source.Source, f *os.File, req Request) (*backup.Manifest, error) {
	req.defaults()
	r := newRun(src, req)
	out, err := r.export(ctx, func(context.Context) (object.Upload, error) {
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		_, err := f.Seek(0, io.SeekStart)
		return file{f}, err
	})
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", src.Describe().Name, err)
	}
	return r.manifest(out), nil
}

// file is an upload that is a file already.
type file struct{ *os.File }

func (f file) Commit(context.Context) (object.Info, error) { return object.Info{}, nil }
func (f file) Abort(context.Context) error                 { return nil }

// putManifest writes the manifest beside the object.
func putManifest(ctx context.Context, dst object.Bucket, req Request, m *backup.Manifest) error {
	b, err := m.Encode()
	if err != nil {
		return fmt.Errorf("encode the manifest of %s: %w", m.Key, err)
	}
	req.Hook("before:manifest")
	if err := dst.Replace(ctx, object.ManifestKey(m.Key), b, "application/json"); err != nil {
		return fmt.Errorf("store the manifest of %s: %w", m.Key, err)
	}
	req.Hook("after:manifest")
	return nil
}

// manifest describes what was stored.
func (r *run) manifest(out *outcome) *backup.Manifest {
	c := out.contents
	m := &backup.Manifest{
		Format: backup.ManifestFormat, Kind: r.req.Kind, DatabaseID: r.desc.ID, DatabaseName: r.desc.Name,
		CopyID: r.req.CopyID, JobID: r.req.JobID, ResultID: r.req.ResultID, Trigger: r.req.Trigger, Date: r.req.Date,
		StartedAt: r.started.UTC(), CompletedAt: r.req.Clock().UTC(), Consistency: out.consistency,
		BookmarkBefore: out.before, BookmarkAfter: out.after,
		Key: r.req.Key.String(), Size: out.sink.size, SHA256: out.sink.sum(c.SHA256),
		SQLSize: c.Size, SQLSHA256: c.SHA256, BodySize: c.BodySize, BodySHA256: c.BodySHA256,
		Compression: r.req.Compress, TableCount: c.Tables, Rows: c.Rows, Sections: sections(c),
		ForeignKeys: out.foreignKeys, Findings: out.findings, Redactions: out.redactions, Cost: r.cost, Version: r.req.Version,
	}
	place(m.Sections, out.sink.members)
	return m
}

func sections(c dump.Contents) []backup.Section {
	out := make([]backup.Section, len(c.Sections))
	for i, s := range c.Sections {
		out[i] = backup.Section{Name: s.Name, Kind: s.Kind, Offset: s.Offset, Length: s.Length, Rows: s.Rows, SHA256: s.SHA256}
	}
	return out
}

// place gives each section the gzip member that holds it. The first member is
// the text before the first section, the last one the text after the last.
func place(sections []backup.Section, members []member) {
	if len(members) != len(sections)+2 {
		return
	}
	for i := range sections {
		sections[i].StoredOffset, sections[i].StoredLength = members[i+1].Offset, members[i+1].Length
	}
}
