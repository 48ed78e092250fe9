package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
)

// liveFigure: 47 MB of a live account against Cloudflare's own tool, where it is
// installed in the bench's folder, and the large database to its end.
func liveFigure(ctx context.Context, b *bench) ([]line, error) {
	small, err := b.database(ctx, 47<<20)
	if err != nil {
		return nil, err
	}
	large, err := b.database(ctx, b.size)
	if err != nil {
		return nil, err
	}
	a, ids, err := b.account(0, small, large)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.drop(a) }()
	srv := httptest.NewServer(a.Handler())
	defer srv.Close()
	export := func(id string) (measured, error) {
		url, remove, err := b.bucket()
		if err != nil {
			return measured{}, err
		}
		defer remove()
		return b.child(ctx, "-url", srv.URL, "-bucket", url, id)
	}
	if err := b.installWrangler(ctx, small); err != nil {
		return nil, err
	}
	us, them, err := b.pairs(func() (measured, error) { return export(ids[0]) }, func() (measured, error) { return b.wrangler(ctx) })
	if err != nil {
		return nil, err
	}
	m, err := export(ids[1])
	if err != nil {
		return nil, err
	}
	out, err := decode[exported](m)
	if err != nil {
		return nil, err
	}
	times := ratio(them, us)
	share := float64(them.peak) / float64(us.peak)
	return []line{
		{"export of a live simulated account, 47 MB", "wrangler d1 export --local", fmt.Sprintf("%.1f times faster", times), "≥ 5", times >= 5, fmt.Sprintf("%.1f s against %.1f s", us.wall.Seconds(), them.wall.Seconds())},
		{"the same, memory", "its largest process", fmt.Sprintf("1/%.0f", share), "≤ 1/25", share >= 25, mib(us.peak) + " against " + mib(them.peak)},
		{fmt.Sprintf("the same, %d MB", b.size>>20), "", "finishes", "finishes", out.Rows > 0, fmt.Sprintf("%.1f s, %s, %s", m.wall.Seconds(), rate(out.SQLBytes, m), mib(m.peak))},
	}, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// wranglerSh runs wrangler in $1, with a Node that it can run on.
const wranglerSh = `cd "$1"; export CI=1 WRANGLER_SEND_METRICS=false; wrangler() { node_modules/.bin/node node_modules/wrangler/bin/wrangler.js "$@" >&2; }; `

// installWrangler fetches wrangler and a Node into a folder of the bench's own,
// and makes a local account there whose one database holds what file does.
func (b *bench) installWrangler(ctx context.Context, file string) error {
	dir := mustAbs(filepath.Join(b.dir, "wrangler"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	const script = wranglerSh + `
if ! [ -x node_modules/.bin/wrangler ] || ! [ -x node_modules/.bin/node ]; then
	echo '{"private":true}' >package.json
	npm install --silent --no-fund --no-audit wrangler@4 node@22 >&2
fi
cat >wrangler.toml <<'END'
name = "bench"
compatibility_date = "2026-01-01"
[[d1_databases]]
binding = "DB"
database_name = "bench"
database_id = "00000000-0000-0000-0000-000000000001"
END
rm -rf .wrangler
wrangler d1 execute bench --local --command 'CREATE TABLE x(a)'
file=$(ls .wrangler/state/v3/d1/miniflare-D1DatabaseObject/*.sqlite | grep -v metadata.sqlite)
rm -f "$file-wal" "$file-shm"
cp "$2" "$file"`
	_, err := shell(ctx, script, dir, file)
	return err
}

// wrangler exports its local database. Its largest process is what counts as
// its memory.
func (b *bench) wrangler(ctx context.Context) (measured, error) {
	return shell(ctx, wranglerSh+`rm -f out.sql; wrangler d1 export bench --local --output out.sql; test -s out.sql`, mustAbs(filepath.Join(b.dir, "wrangler")))
}

func mustAbs(p string) string {
	a, err := filepath.Abs(p)
	if err != nil {
		return p
	}
	return a
}

// billedFigure counts the rows that paging reads.
func billedFigure(ctx context.Context, b *bench) ([]line, error) {
	file, err := b.database(ctx, 47<<20)
	if err != nil {
		return nil, err
	}
	a, ids, err := b.account(0, file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.drop(a) }()
	srv := httptest.NewServer(a.Handler())
	defer srv.Close()
	m, err := b.child(ctx, "-url", srv.URL, ids[0])
	if err != nil {
		return nil, err
	}
	out, err := decode[exported](m)
	if err != nil {
		return nil, err
	}
	ours := a.DatabaseStats(ids[0]).RowsRead
	if err := naive(ctx, srv.URL, ids[0]); err != nil {
		return nil, err
	}
	theirs := a.DatabaseStats(ids[0]).RowsRead - ours
	r := float64(ours) / float64(out.Rows)
	return []line{{fmt.Sprintf("rows billed for %d rows", out.Rows), "OFFSET and count(*)", fmt.Sprintf("%.4f × rows", r), "≤ 1.01", r <= 1.01, fmt.Sprintf("%d against %d", ours, theirs)}}, nil
}

// streamsFigure: ten uploads at once to a real S3 server.
func streamsFigure(ctx context.Context, b *bench) ([]line, error) {
	bin := mustAbs(filepath.Join(".tools", "bin", "versitygw"))
	if !exists(bin) {
		return nil, fmt.Errorf("%s is missing: run .ci/setup.sh versitygw", bin)
	}
	dir, err := os.MkdirTemp(b.dir, "s3-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.Mkdir(filepath.Join(dir, "bucket"), 0o700); err != nil {
		return nil, err
	}
	gateway, addr, err := startGateway(ctx, bin, mustAbs(dir))
	if err != nil {
		return nil, err
	}
	defer gateway()
	m, err := b.child(ctx, "-streams", "10", "-stream-bytes", fmt.Sprint(200<<20), "-bucket", "s3://bucket?region=us-east-1&endpoint=http://"+addr)
	if err != nil {
		return nil, err
	}
	return []line{{"ten streams of 200 MiB to an S3 server", "", mib(m.peak), "≤ 150 MiB", m.peak <= 150<<20, rate(10*200<<20, m)}}, nil
}

// streams uploads n objects at once.
func streams(ctx context.Context, bucket object.Bucket, n int, size int64) error {
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			u, err := bucket.Create(ctx, fmt.Sprintf("stream/%d", i), object.CreateOptions{})
			for done := int64(0); err == nil && done < size; done += int64(len(chunk)) {
				_, err = u.Write(chunk)
			}
			if err == nil {
				_, err = u.Commit(ctx)
			}
			errs <- err
		})
	}
	wg.Wait()
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// fileFigure: a local SQLite file, exported with no server, and its proof.
func fileFigure(ctx context.Context, b *bench) ([]line, error) {
	file, err := b.database(ctx, b.size)
	if err != nil {
		return nil, err
	}
	dump := mustAbs(filepath.Join(b.dir, "file.sql"))
	peer := mustAbs(filepath.Join(b.dir, "peer.sql"))
	defer os.Remove(dump)
	defer os.Remove(peer)
	us, them, err := b.pairs(func() (measured, error) { return b.child(ctx, "-file", file, "-out", dump) },
		func() (measured, error) {
			return shell(ctx, `sqlite3 "$1" .dump >"$2"`, file, peer)
		})
	if err != nil {
		return nil, err
	}
	proof, load, err := b.pairs(func() (measured, error) { return b.child(ctx, "-prove", dump) },
		func() (measured, error) {
			return shell(ctx, `rm -f "$2"; sqlite3 "$2" <"$1"; rm -f "$2"`, dump, filepath.Join(b.dir, "peer.sqlite"))
		})
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(dump)
	if err != nil {
		return nil, err
	}
	p, err := decode[proved](proof)
	if err != nil {
		return nil, err
	}
	loading := p.Load / load.wall.Seconds()
	return []line{
		{"patina export FILE.sqlite", "sqlite3 .dump", fmt.Sprintf("%.2f of its time", ratio(us, them)), "bounded memory", us.peak <= 96<<20, rate(st.Size(), us) + ", " + mib(us.peak)},
		{"proof: read, hash and load", "sqlite3 new.db < dump", fmt.Sprintf("%.2f of its rate", 1/loading), "≥ 0.6", 1/loading >= 0.6, fmt.Sprintf("%.0f MB/s; then checked in %.1f s and dumped again in %.1f s", float64(st.Size())/1e6/p.Load, p.Check, p.Again)},
		{"proof, peak memory", "", mib(proof.peak), "≤ 96 MiB", proof.peak <= 96<<20, ""},
	}, nil
}

// proved is what a child prints of its proof, in seconds.
type proved struct{ Load, Check, Again float64 }

func proveFile(ctx context.Context, path string) (proved, error) {
	f, err := os.Open(path)
	if err != nil {
		return proved{}, err
	}
	defer f.Close()
	p, err := prove.Dump(ctx, f, backup.Plain, nil, prove.Options{})
	if err != nil {
		return proved{}, err
	}
	return proved{p.Load.Seconds(), p.Check.Seconds(), p.Again.Seconds()}, nil
}

// startFigure: the demo, started a second time.
func startFigure(ctx context.Context, b *bench) ([]line, error) {
	bin := mustAbs(filepath.Join(b.dir, "patina"))
	if _, err := run(ctx, "go", "build", "-o", bin, "./cmd/patina"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "patina-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // Postgres runs as somebody else
		return nil, err
	}
	var times []measured
	for i := range b.runs + 1 {
		d, err := startDemo(ctx, bin, filepath.Join(dir, "data"))
		if err != nil {
			return nil, err
		}
		if i > 0 {
			times = append(times, measured{wall: d})
		}
	}
	m := median(times)
	return []line{{"start, embedded, second time, to serving", "", m.wall.Round(10 * time.Millisecond).String(), "≤ 1 s", m.wall <= time.Second, ""}}, nil
}
