package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// benchWeek is the week of the archives that are made here.
var benchWeek = object.Week{Year: 2026, Week: 48}

// archived is what a child prints of an archive, in seconds.
type archived struct {
	Make, Verify float64
	Size         int64 // of the archive
}

// archiveFigure: seven nights of the large database in one archive, stored
// plain and with gzip, against tar and pigz; and one of them out of it again.
func archiveFigure(ctx context.Context, b *bench) ([]line, error) {
	file, err := b.database(ctx, b.size)
	if err != nil {
		return nil, err
	}
	zip, err := exec.LookPath("pigz")
	if err != nil {
		zip = "gzip"
	}
	zip = filepath.Base(zip)
	plain, sql, err := b.nights(ctx, file, backup.Plain)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(plain)
	zipped, _, err := b.nights(ctx, file, backup.Gzip)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(zipped)
	peer := mustAbs(filepath.Join(b.dir, "peer.tar.gz"))
	defer os.Remove(peer)
	tar := func() (measured, error) {
		return shell(ctx, `tar -C "$1" --hard-dereference -cf - daily | `+zip+` -6 >"$2"`, plain, peer)
	}
	made := func(dir string) func() (measured, error) {
		return func() (measured, error) {
			if err := os.RemoveAll(filepath.Join(dir, "weekly")); err != nil {
				return measured{}, err
			}
			m, err := b.child(ctx, "-archive", dir)
			if err != nil {
				return m, err
			}
			a, err := decode[archived](m)
			m.wall = time.Duration(a.Make * float64(time.Second)) // reading back is told apart: tar does not
			return m, err
		}
	}
	us, them, err := b.pairs(made(plain), tar)
	if err != nil {
		return nil, err
	}
	spliced, err := made(zipped)()
	if err != nil {
		return nil, err
	}
	a, err := decode[archived](us)
	if err != nil {
		return nil, err
	}
	s, err := decode[archived](spliced)
	if err != nil {
		return nil, err
	}
	back := func(x archived) string {
		return fmt.Sprintf("; then read back and compared at %.0f MB/s", float64(sql)/1e6/x.Verify)
	}
	times, fast := ratio(them, us), ratio(them, spliced)
	lines := []line{
		{fmt.Sprintf("weekly archive, 7 dumps of %d MB, plain", sql/archive.Days/1e6), "tar, " + zip + " -6", fmt.Sprintf("%.1f times faster", times), "≥ 3", times >= 3, rate(sql, us) + " against " + rate(sql, them) + fmt.Sprintf(", %.1f s of processors, reading back included, against %.1f s", us.cpu.Seconds(), them.cpu.Seconds()) + back(a)},
		{"the same, stored with gzip", "tar, " + zip + " -6", fmt.Sprintf("%.0f times faster", fast), "≥ 20", fast >= 20, rate(sql, spliced) + " of SQL" + back(s)},
		{"the same, peak memory", "", mib(max(us.peak, spliced.peak)), "≤ 24 MiB", max(us.peak, spliced.peak) <= 24<<20, mib(us.peak) + " plain, " + mib(spliced.peak) + " with gzip"},
	}
	out, err := oneOut(ctx, plain, peer)
	return append(lines, out...), err
}

// nights makes a bucket that holds seven nights of one database, which are all
// the same bytes, and gives its folder and the SQL in it.
func (b *bench) nights(ctx context.Context, file string, compress backup.Compression) (dir string, sql int64, err error) {
	if dir, err = os.MkdirTemp(b.dir, "week-"); err != nil {
		return "", 0, err
	}
	dir = mustAbs(dir)
	src, err := source.OpenFile(ctx, file)
	if err != nil {
		return dir, 0, err
	}
	defer func() { _ = src.Close() }()
	path := filepath.Join(dir, "dump")
	f, err := os.Create(path)
	if err != nil {
		return dir, 0, err
	}
	defer f.Close()
	m, err := export.ToFile(ctx, src, f, export.Request{Compress: compress, Kind: backup.Daily})
	if err != nil {
		return dir, 0, err
	}
	var copies []backup.Copy
	for i := range archive.Days {
		night := *m
		night.Date = benchWeek.Monday().AddDays(i)
		night.Key = object.Key{Kind: backup.Daily, Date: night.Date, Slug: "large", Gzip: compress == backup.Gzip}.String()
		night.CopyID = strconv.Itoa(i)
		at := filepath.Join(dir, night.Key)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return dir, 0, err
		}
		if err := os.Link(path, at); err != nil {
			return dir, 0, err
		}
		copies = append(copies, backup.Copy{
			ID: night.CopyID, DatabaseName: "large", Kind: backup.Daily, Date: night.Date, Key: night.Key,
			Size: night.Size, SHA256: night.SHA256, Compression: compress, Manifest: &night,
		})
	}
	text, err := json.Marshal(copies)
	if err != nil {
		return dir, 0, err
	}
	return dir, m.SQLSize * archive.Days, os.WriteFile(filepath.Join(dir, "copies"), text, 0o600)
}

// makeArchive is the child: it archives the week in a folder.
func makeArchive(ctx context.Context, dir string) (archived, error) {
	text, err := os.ReadFile(filepath.Join(dir, "copies"))
	if err != nil {
		return archived{}, err
	}
	var copies []backup.Copy
	if err := json.Unmarshal(text, &copies); err != nil {
		return archived{}, err
	}
	b, err := object.OpenFolder(dir)
	if err != nil {
		return archived{}, err
	}
	start := time.Now()
	var made, verified time.Time
	m, _, err := archive.Make(ctx, b, archive.Request{Week: benchWeek, Plan: archive.Choose(benchWeek, nil, copies), Hook: func(step string) {
		switch step {
		case "before:verify":
			made = time.Now()
		case "after:verify":
			verified = time.Now()
		}
	}})
	if err != nil {
		return archived{}, err
	}
	return archived{made.Sub(start).Seconds(), verified.Sub(made).Seconds(), m.Size}, nil
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

// oneOut reads the middle one of seven dumps out of an archive.
func oneOut(ctx context.Context, dir, peer string) ([]line, error) {
	b, err := object.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	c := &counted{Bucket: b}
	key := archive.Key(benchWeek)
	m, err := archive.ReadManifest(ctx, b, key)
	if err != nil {
		return nil, err
	}
	member := m.Members[len(m.Members)/2]
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
	theirs, err := shell(ctx, `tar xzf "$1" -O "daily/$2" >/dev/null`, peer, member.Name)
	if err != nil {
		return nil, err
	}
	over := c.bytes - member.Length
	return []line{
		{fmt.Sprintf("one dump out of an archive of %d MB", m.Size/1e6), "tar xzf of that file", fmt.Sprintf("%.1f MB read for %.1f MB", float64(c.bytes)/1e6, float64(member.Length)/1e6), "≤ its bytes + 1 MiB", over <= 1<<20, fmt.Sprintf("%.1f s, hash compared, against %.1f s", whole.Seconds(), theirs.wall.Seconds())},
		{"the same, first byte", "", first.Round(100 * time.Microsecond).String(), "≤ 200 ms", first <= 200*time.Millisecond, ""},
	}, nil
}
