package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
)

var figures = []figure{
	{"export", exportFigure},
	{"live", liveFigure},
	{"memory", memoryFigure},
	{"six", sixFigure},
	{"billed", billedFigure},
	{"streams", streamsFigure},
	{"file", fileFigure},
	{"archive", archiveFigure},
	{"start", startFigure},
}

// account makes a simulated account over copies of SQLite files.
func (b *bench) account(latency time.Duration, files ...string) (*d1sim.Account, []string, error) {
	dir := filepath.Join(b.dir, "account")
	if err := os.RemoveAll(dir); err != nil {
		return nil, nil, err
	}
	a, err := d1sim.New(d1sim.Config{Dir: dir, AccountID: "acc", Token: "tok", Latency: latency})
	if err != nil {
		return nil, nil, err
	}
	b.accounts[a] = dir
	var ids []string
	for i, f := range files {
		id, err := a.Create("db" + strconv.Itoa(i))
		if err != nil {
			return nil, nil, err
		}
		if err := a.Load(id, f); err != nil {
			return nil, nil, err
		}
		ids = append(ids, id)
	}
	return a, ids, nil
}

// drop closes an account and removes its files.
func (b *bench) drop(a *d1sim.Account) error {
	dir, ok := b.accounts[a]
	if !ok {
		return nil
	}
	delete(b.accounts, a)
	return errors.Join(a.Close(), os.RemoveAll(dir))
}

// child runs this program's own exporter in a process of its own.
func (b *bench) child(ctx context.Context, args ...string) (measured, error) {
	return run(ctx, b.self, append([]string{"child", "-profile", b.profile}, args...)...)
}

// bucket is a new empty folder bucket.
func (b *bench) bucket() (url string, remove func(), err error) {
	dir, err := os.MkdirTemp(b.dir, "bucket-")
	if err != nil {
		return "", nil, err
	}
	dir, err = filepath.Abs(dir)
	return "file://" + dir, func() { _ = os.RemoveAll(dir) }, err
}

// exportFigure: export, hash and gzip of the replayed API against the sqlite3
// shell's .dump, piped and bare.
func exportFigure(ctx context.Context, b *bench) ([]line, error) {
	file, err := b.database(ctx, b.size)
	if err != nil {
		return nil, err
	}
	rec := &recorder{dir: filepath.Join(b.dir, fmt.Sprintf("replay-%d", b.size>>20))}
	idFile := filepath.Join(rec.dir, "id")
	id, err := os.ReadFile(idFile)
	if err != nil {
		if err := os.MkdirAll(rec.dir, 0o700); err != nil {
			return nil, err
		}
		a, ids, err := b.account(0, file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = b.drop(a) }()
		rec.target, id = a.Handler(), []byte(ids[0])
	}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	export := func(compress string) func() (measured, error) {
		return func() (measured, error) {
			url, remove, err := b.bucket()
			if err != nil {
				return measured{}, err
			}
			defer remove()
			return b.child(ctx, "-url", srv.URL, "-bucket", url, "-compress", compress, string(id))
		}
	}
	if _, err := export("none")(); err != nil { // records
		return nil, err
	}
	if err := os.WriteFile(idFile, id, 0o600); err != nil {
		return nil, err
	}
	rec.target = nil
	peer := filepath.Join(b.dir, "peer.out")
	defer os.Remove(peer)
	zipped, piped, err := b.pairs(export("gzip"), func() (measured, error) {
		return shell(ctx, `sqlite3 "$1" .dump | tee >(sha256sum >/dev/null) | gzip -6 >"$2"`, file, peer)
	})
	if err != nil {
		return nil, err
	}
	plain, bare, err := b.pairs(export("none"), func() (measured, error) {
		return shell(ctx, `sqlite3 "$1" .dump >"$2"`, file, peer)
	})
	if err != nil {
		return nil, err
	}
	out, err := decode[exported](plain)
	if err != nil {
		return nil, err
	}
	size := fmt.Sprintf("%d MB of SQL, %d rows", out.SQLBytes/1e6, out.Rows)
	return []line{
		{"export, hash, gzip; replayed API; " + size, "sqlite3 .dump, sha256sum, gzip -6", fmt.Sprintf("%.2f of its time", ratio(zipped, piped)), "≤ 0.33", ratio(zipped, piped) <= 0.33, rate(out.SQLBytes, zipped) + " against " + rate(out.SQLBytes, piped) + fmt.Sprintf("; %.1f s of processors against %.1f s", zipped.cpu.Seconds(), piped.cpu.Seconds())},
		{"the same, peak memory", "", mib(zipped.peak), "≤ 32 MiB", zipped.peak <= 32<<20, ""},
		{"export and hash; replayed API", "sqlite3 .dump", fmt.Sprintf("%.2f of its time", ratio(plain, bare)), "≤ 1.3", ratio(plain, bare) <= 1.3, rate(out.SQLBytes, plain) + " against " + rate(out.SQLBytes, bare) + ", " + mib(plain.peak)},
	}, nil
}

// memoryFigure: three exports at once of a generated stream that is larger than
// any D1 database.
func memoryFigure(ctx context.Context, b *bench) ([]line, error) {
	g := &generated{text: strings.Repeat("a line of text, and another; ", 8)}
	g.rows = b.huge / int64(len(g.text)+40) / 3
	srv := httptest.NewServer(g)
	defer srv.Close()
	m, err := b.child(ctx, "-url", srv.URL, "-at-once", "3", "-compress", "none", "a", "b", "c")
	if err != nil {
		return nil, err
	}
	out, err := decode[exported](m)
	if err != nil {
		return nil, err
	}
	return []line{{
		fmt.Sprintf("memory, three exports at once, %.1f GB of SQL", float64(out.SQLBytes)/1e9), "", mib(m.peak), "≤ 64 MiB", m.peak <= 64<<20,
		fmt.Sprintf("%s; %d rows, %d requests", rate(out.SQLBytes, m), out.Rows, out.Requests),
	}}, nil
}

// sixFigure: the six Grove databases with 75 ms a request, against an exporter
// that asks for one thing after another.
func sixFigure(ctx context.Context, b *bench) ([]line, error) {
	dir, err := os.MkdirTemp(b.dir, "grove-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	a, err := d1sim.New(d1sim.Config{Dir: dir, AccountID: "acc", Token: "tok", Latency: 75 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }()
	if err := d1sim.Grove(ctx, a); err != nil {
		return nil, err
	}
	srv := httptest.NewServer(a.Handler())
	defer srv.Close()
	var ids []string
	for _, d := range a.Databases() {
		ids = append(ids, d.ID)
	}
	us, them, err := b.pairs(func() (measured, error) {
		return b.child(ctx, append([]string{"-url", srv.URL, "-at-once", "3"}, ids...)...)
	}, func() (measured, error) {
		start := time.Now()
		for _, id := range ids {
			if err := naive(ctx, srv.URL, id); err != nil {
				return measured{}, err
			}
		}
		return measured{wall: time.Since(start)}, nil
	})
	if err != nil {
		return nil, err
	}
	out, err := decode[exported](us)
	if err != nil {
		return nil, err
	}
	each := float64(out.Requests) / float64(len(ids))
	return []line{
		{"six Grove databases, 75 ms a request", fmt.Sprintf("one thing after another: %.1f s", them.wall.Seconds()), fmt.Sprintf("%.2f s", out.Seconds), "≤ 0.7 s", out.Seconds <= 0.7, fmt.Sprintf("%.0f times faster", them.wall.Seconds()/out.Seconds)},
		{"the same, requests a database", "", fmt.Sprintf("%.1f", each), "≤ 3", each <= 3, ""},
	}, nil
}

// naive exports as most scripts do: a request a table for its schema, its
// count, and each page of 1,000 rows by OFFSET.
func naive(ctx context.Context, base, id string) error {
	ask := func(q string) ([][]any, error) {
		body, err := json.Marshal(map[string]string{"sql": q})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/accounts/acc/d1/database/"+id+"/raw", strings.NewReader(string(body)))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer tok")
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		var answer struct {
			Result []struct {
				Results struct{ Rows [][]any }
			}
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			return nil, err
		}
		if len(answer.Result) == 0 {
			return nil, fmt.Errorf("%s: status %d", q, res.StatusCode)
		}
		return answer.Result[0].Results.Rows, nil
	}
	tables, err := ask(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' ORDER BY name`)
	if err != nil {
		return err
	}
	for _, t := range tables {
		q := `"` + strings.ReplaceAll(fmt.Sprint(t[0]), `"`, `""`) + `"`
		if _, err := ask(`SELECT sql FROM sqlite_master WHERE name = '` + fmt.Sprint(t[0]) + `'`); err != nil {
			return err
		}
		if _, err := ask(`SELECT count(*) FROM ` + q); err != nil {
			return err
		}
		for offset := 0; ; offset += 1000 {
			rows, err := ask(fmt.Sprintf(`SELECT * FROM %s LIMIT 1000 OFFSET %d`, q, offset))
			if err != nil {
				return err
			}
			if len(rows) < 1000 {
				break
			}
		}
	}
	return nil
}
