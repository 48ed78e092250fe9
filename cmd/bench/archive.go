package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// benchWeek is the week of the archives that are made here.
var benchWeek = object.Week{Year: 2026, Week: 48}

// archived is what a child prints of an archive, in seconds.
type archived struct {
	Make, Verify float64
	CPU          float64 // of processors, up to the end of making it
	Size         int64   // of the archive
	Began        int64   // bytes that the process had held before it began
}

// archiveFigure: seven nights of the six Grove databases and of the large one in
// an archive each, stored plain and with gzip, against tar and pigz; and one dump
// out of an archive of 2 GB.
func archiveFigure(ctx context.Context, b *bench) ([]line, error) {
	grove, drop, err := b.grove(ctx)
	if err != nil {
		return nil, err
	}
	defer drop()
	large, err := b.database(ctx, b.size)
	if err != nil {
		return nil, err
	}
	lines, err := b.archiveOf(ctx, "7 × 6 Grove dumps", grove, false)
	if err != nil {
		return nil, err
	}
	more, err := b.archiveOf(ctx, "7 large dumps", map[string]string{"large": large}, true)
	if err != nil {
		return nil, err
	}
	out, err := b.oneOut(ctx)
	return append(append(lines, more...), out...), err
}

// archiveOf archives seven nights of some SQLite files. Tar reads nothing back,
// so that making the archive is what is compared. The goals are those of large
// dumps: small ones are done in a moment either way.
func (b *bench) archiveOf(ctx context.Context, what string, files map[string]string, large bool) ([]line, error) {
	zip, err := exec.LookPath("pigz")
	if err != nil {
		zip = "gzip"
	}
	zip = filepath.Base(zip)
	plain, sql, err := b.nights(ctx, files, backup.Plain)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(plain)
	zipped, _, err := b.nights(ctx, files, backup.Gzip)
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
			m.wall, m.cpu = seconds(a.Make), seconds(a.CPU)
			return m, err
		}
	}
	us, them, err := b.pairs(made(plain), tar)
	if err != nil {
		return nil, err
	}
	spliced, theirs, err := b.pairs(made(zipped), tar)
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
	st, err := os.Stat(peer)
	if err != nil {
		return nil, err
	}
	note := func(m, peer measured, x archived) string {
		return fmt.Sprintf("%s against %s; %.2f s of processors against %.2f s; read back and compared at %.0f MB/s; %.1f MB against %.1f MB",
			rate(sql, m), rate(sql, peer), m.cpu.Seconds(), peer.cpu.Seconds(), float64(sql)/1e6/x.Verify, float64(x.Size)/1e6, float64(st.Size())/1e6)
	}
	times, fast := ratio(them, us), ratio(theirs, spliced)
	goals := []string{"≥ 3", "≥ 20"}
	if !large {
		goals = []string{"–", "–"}
	}
	what = fmt.Sprintf("weekly archive, %s, %d MB", what, sql/1e6)
	return []line{
		{what + ", plain", "tar, " + zip + " -6", fmt.Sprintf("%.1f times faster", times), goals[0], times >= 3, note(us, them, a)},
		{"the same, stored with gzip", "tar, " + zip + " -6", fmt.Sprintf("%.0f times faster", fast), goals[1], fast >= 20, note(spliced, theirs, s)},
		{"the same, peak memory", "", mib(max(us.peak, spliced.peak)), "≤ 24 MiB", max(us.peak, spliced.peak) <= 24<<20, mib(us.peak) + " plain, " + mib(spliced.peak) + " with gzip, reading back included; " + mib(a.Began) + " before it began"},
	}, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

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
	began := held()
	start := time.Now()
	var made, verified time.Time
	var cpu time.Duration
	m, _, err := archive.Make(ctx, b, archive.Request{Week: benchWeek, Plan: archive.Choose(benchWeek, nil, copies), Hook: func(step string) {
		switch step {
		case "before:verify":
			made, cpu = time.Now(), used()
		case "after:verify":
			verified = time.Now()
		}
	}})
	if err != nil {
		return archived{}, err
	}
	return archived{made.Sub(start).Seconds(), verified.Sub(made).Seconds(), cpu.Seconds(), m.Size, began}, nil
}

// used is what this process has had of the processors so far.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held is the most memory that this process has held so far.
func held() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10
}
