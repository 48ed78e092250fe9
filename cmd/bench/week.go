package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/pgzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// grove makes the six databases of the demo, and gives their files.
func (b *bench) grove(ctx context.Context) (files map[string]string, drop func(), err error) {
	dir, err := os.MkdirTemp(b.dir, "grove-")
	if err != nil {
		return nil, nil, err
	}
	a, err := d1sim.New(d1sim.Config{Dir: dir, AccountID: "acc"})
	if err != nil {
		return nil, nil, err
	}
	drop = func() {
		_ = a.Close()
		_ = os.RemoveAll(dir)
	}
	if err := d1sim.Grove(ctx, a); err != nil {
		drop()
		return nil, nil, err
	}
	files = map[string]string{}
	for _, db := range a.Databases() {
		files[db.Name] = filepath.Join(dir, db.ID+".sqlite")
	}
	return files, drop, nil
}

// nights makes a bucket that holds seven nights of some SQLite files, which are
// the same bytes each night, and gives its folder and the bytes of SQL in it.
func (b *bench) nights(ctx context.Context, files map[string]string, compress backup.Compression) (dir string, sql int64, err error) {
	if dir, err = os.MkdirTemp(b.dir, "week-"); err != nil {
		return "", 0, err
	}
	dir = mustAbs(dir)
	var copies []backup.Copy
	for name, file := range files {
		m, path, err := dumpOf(ctx, dir, name, file, compress)
		if err != nil {
			return dir, 0, err
		}
		list, err := sevenNights(dir, path, *m)
		if err != nil {
			return dir, 0, err
		}
		copies, sql = append(copies, list...), sql+archive.Days*m.SQLSize
	}
	return dir, sql, keepCopies(dir, copies)
}

func dumpOf(ctx context.Context, dir, name, file string, compress backup.Compression) (*backup.Manifest, string, error) {
	src, err := source.OpenFile(ctx, file)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = src.Close() }()
	path := filepath.Join(dir, "dump-"+name)
	f, err := os.Create(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	m, err := export.ToFile(ctx, src, f, export.Request{Compress: compress, Kind: backup.Daily})
	if m != nil {
		m.DatabaseName, m.DatabaseID = name, name
	}
	return m, path, err
}

// sevenNights links one stored dump to the key of each night of the week.
func sevenNights(dir, path string, m backup.Manifest) ([]backup.Copy, error) {
	var copies []backup.Copy
	for i := range archive.Days {
		night := m
		night.Date = benchWeek.Monday().AddDays(i)
		night.Key = object.Key{Kind: backup.Daily, Date: night.Date, Slug: m.DatabaseName, Gzip: m.Compression == backup.Gzip}.String()
		night.CopyID = fmt.Sprint(m.DatabaseName, i)
		at := filepath.Join(dir, night.Key)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return nil, err
		}
		if err := os.Link(path, at); err != nil {
			return nil, err
		}
		copies = append(copies, backup.Copy{
			ID: night.CopyID, DatabaseID: m.DatabaseID, DatabaseName: m.DatabaseName, Kind: backup.Daily, Date: night.Date, Key: night.Key,
			Size: night.Size, SHA256: night.SHA256, Compression: m.Compression, Manifest: &night,
		})
	}
	return copies, nil
}

// keepCopies leaves the week's copies for the child that archives them.
func keepCopies(dir string, copies []backup.Copy) error {
	text, err := json.Marshal(copies)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "copies"), text, 0o600)
}

// wide is how large the archive is that one dump is read out of, with the data
// of the usual size; less data makes a smaller one.
const (
	wide  = 2 << 30
	usual = 470 << 20
)

// noise writes a dump of random bytes as SQL has them, compressed, until about
// size bytes are stored, and describes it.
func noise(path string, size int64) (*backup.Manifest, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stored, text := sha256.New(), sha256.New()
	file := bufio.NewWriter(f)
	zip, err := pgzip.NewWriterLevel(io.MultiWriter(file, stored), pgzip.HuffmanOnly)
	if err != nil {
		return nil, err
	}
	random := rand.NewChaCha8([32]byte{7})
	m := &backup.Manifest{Format: 1, Kind: backup.Daily, DatabaseID: "noise", DatabaseName: "noise", Compression: backup.Gzip, StartedAt: benchWeek.Monday().Time()}
	row := make([]byte, 16<<10)
	for m.SQLSize < size*2 {
		_, _ = random.Read(row)
		n, err := fmt.Fprintf(io.MultiWriter(zip, text), "INSERT INTO file VALUES(%d,X'%x');\n", m.SQLSize, row)
		if err != nil {
			return nil, err
		}
		m.SQLSize += int64(n)
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if err := file.Flush(); err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m.Size, m.SHA256, m.SQLSHA256 = st.Size(), hex.EncodeToString(stored.Sum(nil)), hex.EncodeToString(text.Sum(nil))
	return m, nil
}

// oneOut reads the middle one of seven dumps out of an archive of 2 GB.
func (b *bench) oneOut(ctx context.Context) ([]line, error) {
	dir, err := os.MkdirTemp(b.dir, "wide-")
	if err != nil {
		return nil, err
	}
	dir = mustAbs(dir)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "dump")
	described, err := noise(path, wide/archive.Days*min(b.size, usual)/usual)
	if err != nil {
		return nil, err
	}
	copies, err := sevenNights(dir, path, *described)
	if err != nil {
		return nil, err
	}
	if err := keepCopies(dir, copies); err != nil {
		return nil, err
	}
	if _, err := b.child(ctx, "-archive", dir); err != nil {
		return nil, err
	}
	folder, err := object.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	key := archive.Key(benchWeek)
	m, err := archive.ReadManifest(ctx, folder, key)
	if err != nil {
		return nil, err
	}
	member := m.Members[len(m.Members)/2]
	c := &counted{Bucket: folder}
	start := time.Now()
	r, err := archive.Open(ctx, c, key, member)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		return nil, err
	}
	first := time.Since(start)
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	whole := time.Since(start)
	theirs, err := shell(ctx, `tar xzf "$1" -O "$2" >/dev/null`, filepath.Join(dir, key), member.Name)
	if err != nil {
		return nil, err
	}
	over := c.bytes - member.Length
	return []line{
		{fmt.Sprintf("one dump out of an archive of %d MB", m.Size/1e6), "tar xzf of that file", fmt.Sprintf("%.1f MB read for %.1f MB", float64(c.bytes)/1e6, float64(member.Length)/1e6), "≤ its bytes + 1 MiB", over <= 1<<20, fmt.Sprintf("%.1f s, hash compared, against %.1f s", whole.Seconds(), theirs.wall.Seconds())},
		{"the same, first byte", "", first.Round(100 * time.Microsecond).String(), "≤ 200 ms", first <= 200*time.Millisecond, ""},
	}, nil
}

// counted counts what is read of a bucket.
type counted struct {
	object.Bucket
	bytes int64
}

func (c *counted) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := c.Bucket.Open(ctx, key, offset, length)
	return &countedBody{r, c}, err
}

type countedBody struct {
	io.ReadCloser
	c *counted
}

func (r *countedBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.c.bytes += int64(n)
	return n, err
}
