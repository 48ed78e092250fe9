package prove_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// live is a SQLite file that passes for the database a copy was taken of.
type live struct {
	*source.File
	bookmark string
	fault    error
}

func (l live) Bookmark(context.Context) (string, error) { return l.bookmark, nil }
func (l live) Describe() source.Description {
	return source.Description{Name: "live", ID: "x", Exact: true}
}

func (l live) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	if l.fault != nil {
		return backup.ReadStats{}, l.fault
	}
	return l.File.Read(ctx, statements, h)
}

func liveFile(t *testing.T, bookmark string, statements ...string) live {
	t.Helper()
	path := filepath.Join(t.TempDir(), "live.sqlite")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return live{File: f, bookmark: bookmark}
}

// reheaded is a dump with another header, and the manifest of it.
func reheaded(t *testing.T, text []byte, m *backup.Manifest, was, is string) ([]byte, *backup.Manifest) {
	t.Helper()
	text, err := exporttest.Forge(bytes.Replace(text, []byte(was), []byte(is), 1), "")
	if err != nil {
		t.Fatal(err)
	}
	_, c, err := dump.Verify(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	n := *m
	n.Size, n.SQLSize, n.SHA256, n.SQLSHA256 = c.Size, c.Size, c.SHA256, c.SHA256
	n.Sections = slices.Clone(n.Sections)
	for i, s := range c.Sections {
		n.Sections[i].Offset = s.Offset
	}
	return text, &n
}

// TestAgainstTheSource: a copy that restores is compared with its source by
// value, and only a source that nobody wrote to speaks against it.
func TestAgainstTheSource(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, sample...)
	text, m = reheaded(t, text, m, "-- bookmark: see footer\n", "-- bookmark: b1\n")
	m.BookmarkBefore = "b1"
	changed := append(append([]string(nil), sample...), `UPDATE users SET score = 9.25 WHERE id = 2`)
	for _, c := range []struct {
		name  string
		live  live
		state backup.SourceState
		says  string
		fails bool
	}{
		{"equal", liveFile(t, "b1", sample...), backup.SourceEqual, "equal to the source", false},
		{"equal, moved", liveFile(t, "b2", sample...), backup.SourceEqual, "equal to the source", false},
		{"moved on", liveFile(t, "b2", changed...), backup.SourceMoved, "the source has moved on: 1 table differs", false},
		{"no bookmark", liveFile(t, "", changed...), backup.SourceMoved, "is not known", false},
		{"differs", liveFile(t, "b1", changed...), backup.SourceDiffers, "nobody wrote to since", true},
		{"away", live{bookmark: "b1", fault: backup.Errorf(backup.ErrUnavailable, "the account is away")}, backup.SourceUnknown, "the account is away", false},
	} {
		opt := prove.Options{Scratch: t.TempDir(), Live: func(string, string) source.Source { return c.live }}
		p, err := prove.Dump(t.Context(), bytes.NewReader(text), backup.Plain, m, opt)
		if c.fails != errors.Is(err, backup.ErrCorrupt) || !c.fails && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if p.Live == nil || p.Live.State != c.state || !strings.Contains(p.Live.Text, c.says) {
			t.Errorf("%s: %+v", c.name, p.Live)
		}
		if n := len(p.Live.Differences); (n > 0) != (c.state == backup.SourceMoved || c.state == backup.SourceDiffers) {
			t.Errorf("%s: %q", c.name, p.Live.Differences)
		}
	}
	text, m = reheaded(t, text, m, "b1\n-- tables: ", "b1\n-- redacted: users.score → null\n-- tables: ")
	m.Redactions = []string{"users.score → null"}
	p, err := prove.Dump(t.Context(), bytes.NewReader(text), backup.Plain, m, prove.Options{Live: func(string, string) source.Source { return liveFile(t, "b1", changed...) }})
	if err != nil || p.Live.State != backup.SourceEqual || !strings.Contains(p.Live.Text, "users.score") {
		t.Errorf("redacted: %v, %+v", err, p.Live)
	}
	changed = append(changed, `UPDATE users SET name = name || '!' WHERE id = 2`)
	p, err = prove.Dump(t.Context(), bytes.NewReader(text), backup.Plain, m, prove.Options{Live: func(string, string) source.Source { return liveFile(t, "b1", changed...) }})
	if !errors.Is(err, backup.ErrCorrupt) || p.Live.State != backup.SourceDiffers {
		t.Errorf("redacted, and another column changed: %v, %+v", err, p.Live)
	}
}
