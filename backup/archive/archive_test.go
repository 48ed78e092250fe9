package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// w53 holds 28 December 2020 to 3 January 2021: its year is not that of its end.
var w53 = object.Week{Year: 2020, Week: 53}

// grove is the demo's account.
func grove(t *testing.T) (*d1sim.Account, *d1.Client) {
	t.Helper()
	a, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = a.Close()
	})
	if err := d1sim.Grove(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	c, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

// copyOf is the catalogue's entry of a dump.
func copyOf(m *backup.Manifest) backup.Copy {
	return backup.Copy{
		ID: m.CopyID, DatabaseID: m.DatabaseID, DatabaseName: m.DatabaseName, Kind: m.Kind, Date: m.Date, TakenAt: m.StartedAt, Key: m.Key,
		Size: m.Size, SHA256: m.SHA256, BodySHA256: m.BodySHA256, Compression: m.Compression, Proof: backup.ProofProven, Manifest: m,
	}
}

// nights exports the demo's databases on each of n dates from from on, while
// they live.
func nights(t *testing.T, b object.Bucket, from backup.Date, n int, compress func(night int) backup.Compression) []backup.Copy {
	t.Helper()
	a, c := grove(t)
	var copies []backup.Copy
	for i := range n {
		date := from.AddDays(i)
		at := date.Time().Add(3*time.Hour + 123456*time.Microsecond)
		for _, db := range d1sim.GroveDatabases() {
			m, err := export.Run(t.Context(), source.D1(c, db.ID, db.Name), b, export.Request{
				Key:    object.Key{Kind: backup.Daily, Date: date, Slug: db.Name, Gzip: compress(i) == backup.Gzip},
				CopyID: uuid.NewString(), Kind: backup.Daily, Date: date, Compress: compress(i), Clock: func() time.Time { return at },
			})
			if err != nil {
				t.Fatal(err)
			}
			copies = append(copies, copyOf(m))
		}
		if err := d1sim.Activity(t.Context(), a, at); err != nil {
			t.Fatal(err)
		}
	}
	return copies
}

func plain(int) backup.Compression { return backup.Plain }
func zipped(night int) backup.Compression {
	if night%2 == 0 {
		return backup.Gzip
	}
	return backup.Plain
}

func request(copies []backup.Copy) archive.Request {
	return archive.Request{
		Week: w53, Plan: archive.Choose(w53, d1sim.GroveDatabases(), copies),
		Pause: func(context.Context, time.Duration) error { return nil },
		Known: func(_ context.Context, m backup.ArchiveMember) (bool, error) {
			for _, c := range copies {
				if c.ID == m.CopyID && c.SHA256 == m.SHA256 {
					return true, nil
				}
			}
			return false, nil
		},
	}
}

func makeOne(t *testing.T, b object.Bucket, req archive.Request) *backup.ArchiveManifest {
	t.Helper()
	m, adopted, err := archive.Make(t.Context(), b, req)
	if err != nil || adopted {
		t.Fatalf("adopted %v: %v", adopted, err)
	}
	return m
}

func read(t *testing.T, r io.ReadCloser, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fetch(t *testing.T, b object.Bucket, key string) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), key, 0, -1)
	return read(t, r, err)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func folder(t *testing.T) object.Bucket {
	t.Helper()
	b, err := object.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestArchive: seven dates of six databases, some nights stored with gzip, on a
// folder and on an S3 server; tar, gzip and Python open the archive, and each
// member is read by one range request and is its daily, byte for byte.
func TestArchive(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"folder", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			b := folder(t)
			if where == "s3" {
				url, cfg := objecttest.VersityGW(t)
				var err error
				if b, err = object.Open(t.Context(), url, cfg); err != nil {
					t.Fatal(err)
				}
			}
			copies := nights(t, b, w53.Monday(), archive.Days, zipped)
			m := makeOne(t, b, request(copies))
			if m.Key != "weekly/2020-W53.tar.gz" || len(m.Members) != 42 || len(m.Missing) != 0 || m.From.String() != "2020-12-28" || m.To.String() != "2021-01-03" {
				t.Fatalf("%s from %s to %s: %d members, missing %v", m.Key, m.From, m.To, len(m.Members), m.Missing)
			}
			stored := fetch(t, b, m.Key)
			if int64(len(stored)) != m.Size || sum(stored) != m.SHA256 {
				t.Fatal("the manifest is of other bytes")
			}
			if beside, err := archive.ReadManifest(t.Context(), b, m.Key); err != nil || len(beside.Members) != 42 || len(beside.Members[0].Manifest) == 0 {
				t.Fatalf("the manifest beside it: %v", err)
			}
			unpacked := untar(t, stored)
			if len(unpacked) != 85 {
				t.Errorf("tar unpacks %d files, want 85", len(unpacked))
			}
			counted := &counting{Bucket: b}
			for i, c := range request(copies).Plan.Copies {
				checkMember(t, counted, m.Key, m.Members[i], c, unpacked)
			}
			if _, ok := unpacked["2020-12-28/groveauth.sql"]; !ok {
				t.Error("no 2020-12-28/groveauth.sql")
			}
		})
	}
}

// checkMember reads one member in every way there is.
func checkMember(t *testing.T, b *counting, key string, m backup.ArchiveMember, c backup.Copy, unpacked map[string][]byte) {
	t.Helper()
	ctx := t.Context()
	b.opened, b.bytes = 0, 0
	r, err := archive.Open(ctx, b, key, m)
	text := read(t, r, err)
	if b.opened != 1 || b.bytes > m.Length {
		t.Errorf("%s: %d requests and %d bytes for a member of %d", m.Name, b.opened, b.bytes, m.Length)
	}
	if sum(text) != c.Manifest.SQLSHA256 || !bytes.Equal(text, unpacked[m.Name]) {
		t.Errorf("%s is not its daily", m.Name)
	}
	// What tar unpacks, and Python with it, is what the daily's own object holds.
	r, err = archive.OpenSQL(ctx, b, c)
	if sum(unpacked[m.Name]) != sum(read(t, r, err)) {
		t.Errorf("%s is not what the daily's object holds", m.Name)
	}
	if got, err := backup.DecodeManifest(bytes.NewReader(unpacked[m.Name+".json"])); err != nil || got.SHA256 != c.SHA256 || got.CopyID != c.ID {
		t.Errorf("the manifest of %s: %v", m.Name, err)
	}
	// As the catalogue has it, once the daily's own object is gone.
	alone := c
	alone.Archived, alone.ObjectGone = backup.Archived{Week: w53.String(), Name: m.Name, Offset: m.Offset, Length: m.Length}, true
	r, err = archive.OpenCopy(ctx, b, alone)
	daily := read(t, r, err)
	if sum(daily) != c.SHA256 || int64(len(daily)) != c.Size {
		t.Errorf("%s: the stored bytes are others", m.Name)
	}
	r, err = archive.OpenSQL(ctx, b, alone)
	if !bytes.Equal(read(t, r, err), text) {
		t.Errorf("%s: the SQL is another", m.Name)
	}
	r, err = archive.OpenRange(ctx, b, alone, 1000, 777)
	if !bytes.Equal(read(t, r, err), daily[1000:1777]) {
		t.Errorf("%s: a range is another", m.Name)
	}
	s := c.Manifest.Sections[len(c.Manifest.Sections)/2]
	for _, where := range []backup.Copy{c, alone} {
		b.opened, b.bytes = 0, 0
		r, err = archive.OpenSection(ctx, b, where, s)
		if got := read(t, r, err); !bytes.Equal(got, text[s.Offset:s.Offset+s.Length]) || b.opened != 1 {
			t.Errorf("%s: the table %s is another, or took %d requests", m.Name, s.Name, b.opened)
		}
		if c.Compression == backup.Gzip && b.bytes > s.StoredLength {
			t.Errorf("%s: %d bytes for a table of %d", m.Name, b.bytes, s.StoredLength)
		}
	}
}

// counting counts what is asked of a bucket.
type counting struct {
	object.Bucket
	opened int
	bytes  int64
}

func (c *counting) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := c.Bucket.Open(ctx, key, offset, length)
	c.opened++
	return &countingBody{r, c}, err
}

type countingBody struct {
	io.ReadCloser
	c *counting
}

func (r *countingBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.c.bytes += int64(n)
	return n, err
}

// untar unpacks with the tools that everybody has.
func untar(t *testing.T, stored []byte) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "archive.tar.gz")
	if err := os.WriteFile(path, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	if out := run("gzip", "-t", path); out != "" {
		t.Errorf("gzip -t says %s", out)
	}
	names := strings.Fields(run("tar", "tzf", path))
	if names[len(names)-1] != "index.json" {
		t.Errorf("the last file is %s", names[len(names)-1])
	}
	to := filepath.Join(dir, "unpacked")
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if out := run("tar", "xzf", path, "-C", to); out != "" {
		t.Errorf("tar xzf says %s", out)
	}
	py := run("python3", "-c", `import sys, tarfile, hashlib
with tarfile.open(sys.argv[1]) as files:
    for m in files:
        print(m.name, hashlib.sha256(files.extractfile(m).read()).hexdigest())`, path)
	files := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
		if !strings.Contains(py, name+" "+sum(text)+"\n") {
			t.Errorf("Python reads %s otherwise", name)
		}
	}
	return files
}

// TestTwice: the same plan gives the same bytes, in another bucket too, and made
// a second time nothing changes.
func TestTwice(t *testing.T) {
	t.Parallel()
	b := folder(t)
	copies := nights(t, b, w53.Monday(), 2, zipped)
	req := request(copies)
	m := makeOne(t, b, req)
	first, manifest := fetch(t, b, m.Key), fetch(t, b, object.ManifestKey(m.Key))
	again, adopted, err := archive.Make(t.Context(), b, req)
	if err != nil || !adopted || again.SHA256 != m.SHA256 {
		t.Fatalf("a second time: adopted %v, %v", adopted, err)
	}
	if !bytes.Equal(fetch(t, b, m.Key), first) || !bytes.Equal(fetch(t, b, object.ManifestKey(m.Key)), manifest) {
		t.Error("a second time changes stored bytes")
	}
	// Killed before its manifest was stored: it is made again from the archive's own bytes, the same.
	if err := b.Delete(t.Context(), object.ManifestKey(m.Key)); err != nil {
		t.Fatal(err)
	}
	if _, adopted, err = archive.Make(t.Context(), b, req); err != nil || !adopted {
		t.Fatal(adopted, err)
	}
	if !bytes.Equal(fetch(t, b, object.ManifestKey(m.Key)), manifest) {
		t.Error("the manifest that was made again is another")
	}
	// Gone altogether: the same bytes come back.
	if err := b.Delete(t.Context(), m.Key); err != nil {
		t.Fatal(err)
	}
	if makeOne(t, b, req).SHA256 != m.SHA256 || !bytes.Equal(fetch(t, b, m.Key), first) {
		t.Error("the same plan gives other bytes")
	}
	// With another plan what is there is taken as it is.
	req.Plan.Copies = req.Plan.Copies[:3]
	if got, adopted, err := archive.Make(t.Context(), b, req); err != nil || !adopted || len(got.Members) != 12 {
		t.Errorf("with a smaller plan: %v, %v", adopted, err)
	}
}

// TestForeign: what lies at the key and is not ours stays, and nothing is made.
func TestForeign(t *testing.T) {
	t.Parallel()
	b := folder(t)
	copies := nights(t, b, w53.Monday(), 1, plain)
	req := request(copies)
	m := makeOne(t, b, req)
	whole := fetch(t, b, m.Key)
	flipped := bytes.Clone(whole)
	flipped[m.Members[2].Offset+m.Members[2].Length/2] ^= 4
	for name, text := range map[string][]byte{
		"text": []byte("not an archive"), "empty": nil, "cut": whole[:len(whole)-100], "longer": append(bytes.Clone(whole), 0), "flipped": flipped,
		"twice": append(bytes.Clone(whole), whole...),
	} {
		if err := b.Replace(t.Context(), m.Key, text, ""); err != nil {
			t.Fatal(err)
		}
		_, _, err := archive.Make(t.Context(), b, req)
		if !errors.Is(err, backup.ErrConflict) || backup.Next(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(fetch(t, b, m.Key), text) {
			t.Errorf("%s: it was changed", name)
		}
	}
	// Whole, and of a copy that the catalogue does not know.
	if err := b.Replace(t.Context(), m.Key, whole, ""); err != nil {
		t.Fatal(err)
	}
	req.Known = func(_ context.Context, m backup.ArchiveMember) (bool, error) {
		return m.DatabaseName != "scout-db", nil
	}
	if _, _, err := archive.Make(t.Context(), b, req); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("of an unknown copy: %v", err)
	}
}

// TestDamagedCopy: a copy that is not what was stored is named, and no archive
// is left.
func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	for _, compress := range []backup.Compression{backup.Plain, backup.Gzip} {
		b := folder(t)
		copies := nights(t, b, w53.Monday(), 1, func(int) backup.Compression { return compress })
		bad := copies[3]
		whole := fetch(t, b, bad.Key)
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		for name, text := range map[string][]byte{"flipped": flipped, "cut": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), '\n'), "empty": {}, "another": fetch(t, b, copies[2].Key), "missing": nil} {
			var err error
			if text == nil {
				err = b.Delete(t.Context(), bad.Key)
			} else {
				err = b.Replace(t.Context(), bad.Key, text, "")
			}
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = archive.Make(t.Context(), b, request(copies))
			var damaged *archive.DamagedError
			if !errors.As(err, &damaged) || damaged.Copy.ID != bad.ID || !errors.Is(err, backup.ErrCorrupt) {
				t.Errorf("%s %s: %v", compress, name, err)
			}
			if _, err := b.Stat(t.Context(), archive.Key(w53)); !errors.Is(err, backup.ErrNotFound) {
				t.Errorf("%s %s: an archive is there", compress, name)
			}
		}
		for u := range b.Uploads(t.Context()) {
			t.Errorf("an upload of %s is left", u.Key)
		}
	}
}

// TestOneBit: one flipped bit anywhere in an archive is found, by Verify and by
// Examine alike, and so is what reads the member that it lies in.
func TestOneBit(t *testing.T) {
	t.Parallel()
	b := folder(t)
	copies := nights(t, b, w53.Monday(), 2, zipped)
	m := makeOne(t, b, request(copies))
	whole := fetch(t, b, m.Key)
	if err := archive.Verify(t.Context(), b, m); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		at := i * len(whole) / 60
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1 << (i % 8)
		if err := b.Replace(t.Context(), m.Key, flipped, ""); err != nil {
			t.Fatal(err)
		}
		if err := archive.Verify(t.Context(), b, m); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("bit of byte %d: Verify says %v", at, err)
		}
		// Examine has only the archive: a time in a gzip header tells nothing.
		if got, err := archive.Examine(t.Context(), b, m.Key); err == nil && got.SHA256 == m.SHA256 {
			t.Errorf("bit of byte %d: Examine finds nothing", at)
		}
		for _, f := range m.Members {
			if int64(at) < f.Offset+10 || int64(at) >= f.Offset+f.Length {
				continue
			}
			r, err := archive.Open(t.Context(), b, m.Key, f)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				_ = r.Close()
			}
			if !errors.Is(err, backup.ErrCorrupt) && f.Compression != backup.Gzip {
				t.Errorf("bit of byte %d: reading %s says %v", at, f.Name, err)
			}
		}
	}
	if err := b.Delete(t.Context(), m.Key); err != nil {
		t.Fatal(err)
	}
	if err := archive.Verify(t.Context(), b, m); !errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("without the archive: %v", err)
	}
}
