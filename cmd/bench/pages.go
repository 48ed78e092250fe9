//go:build !lean

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/static"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/embedded"
	"github.com/AutumnsGrove/Patina/store/sample"
	"github.com/AutumnsGrove/Patina/web"
	"github.com/AutumnsGrove/Patina/web/auth"
)

func init() { figures = append(figures, figure{"pages", pagesFigure}) }

// What a page may take.
const (
	pageTime  = 50 * time.Millisecond // p95 of the server's time
	pageBytes = 150_000
	pageRuns  = 60
	html      = "text/html"
	bearer    = "patina_benchbenchbenchbenchbenchbenchbenchbench"
)

// drawing is a chart, whose bytes do not count.
var drawing = regexp.MustCompile(`(?s)<svg class="(days|spark|age|chart|line|points)[^"]*".*?</svg>`)

// site is a whole server over a Postgres with a large history.
type site struct {
	store  *store.Store
	server *web.Server
	stop   func()
	filled time.Duration // what the filling took; 0 where the history was there
}

// nobody takes requests for work and does none.
type nobody struct{}

func (nobody) Request(context.Context, backup.Request) (backup.Started, error) {
	return backup.Started{}, nil
}

func (nobody) Preview(context.Context, backup.Request) (*restore.Plan, backup.Restore, error) {
	return &restore.Plan{}, backup.Restore{}, nil
}

// openSite starts Postgres, fills it, and makes the server. The history goes
// with it, unless it is to be kept for the next run.
func (b *bench) openSite(ctx context.Context) (*site, error) {
	dir, remove := filepath.Join(b.dir, "pages"), func() {}
	if b.keep {
		if err := os.Chmod(b.dir, 0o711); err != nil { //nolint:gosec // Postgres runs as somebody else
			return nil, err
		}
	} else {
		var err error
		if dir, err = os.MkdirTemp("", "patina-bench-"); err != nil {
			return nil, err
		}
		remove = func() { _ = os.RemoveAll(dir) }
		if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // Postgres runs as somebody else
			return nil, err
		}
	}
	pg, err := embedded.Start(ctx, embedded.Config{Dir: filepath.Join(mustAbs(dir), "postgres"), NoSync: true})
	if err != nil {
		remove()
		return nil, err
	}
	s := &site{stop: func() { _ = pg.Stop(context.WithoutCancel(ctx)); remove() }}
	if err := s.open(ctx, pg.URL(), b.databases); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *site) open(ctx context.Context, url string, databases int) (err error) {
	if s.store, err = store.Open(ctx, url); err != nil {
		return err
	}
	stop := s.stop
	s.stop = func() { s.store.Close(); stop() }
	if err := store.Migrate(ctx, s.store.Pool(), jobs.Migrate); err != nil {
		return err
	}
	known, err := s.store.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return err
	}
	if len(known) == 0 {
		size, start := sample.Large, time.Now()
		size.Databases = databases
		if err := sample.Fill(ctx, s.store.Pool(), size, start); err != nil {
			return err
		}
		s.filled = time.Since(start)
		fmt.Fprintf(os.Stderr, " filled in %.0f s …", s.filled.Seconds())
	}
	if err := s.store.Beat(ctx, store.Process{ID: "00000000-0000-7000-8000-000000000001", Hostname: "bench"}); err != nil {
		return err
	}
	if _, err := s.store.EnsureToken(ctx, store.Token{
		Name: "bench", SHA256: auth.HashToken(bearer), Hint: "bench", Role: store.Admin, Downloader: true, CreatedBy: "bench", CreatedAt: time.Now(),
	}); err != nil {
		return err
	}
	bucket, err := object.Open(ctx, "file://"+os.TempDir(), object.Config{})
	if err != nil {
		return err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	next := func(at time.Time) time.Time { return at.Add(5 * time.Hour) }
	s.server, err = web.New(web.Config{
		Store: s.store, Bucket: bucket, Requests: nobody{}, Secret: secret, MetricsToken: bearer, Log: slog.New(slog.DiscardHandler),
		Nightly: next, Weekly: next, Drill: next, Cleanup: next, Version: "bench",
	})
	return err
}

// pageCost is what one address costs.
type pageCost struct {
	path          string
	p50, p95, p99 time.Duration
	bytes         int
}

// ask gives the answer of one request, and the server's time for it.
func (s *site) ask(path, accept string) (*httptest.ResponseRecorder, time.Duration) {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("Accept", accept)
	req.Header.Set("Authorization", "Bearer "+bearer)
	w := httptest.NewRecorder()
	start := time.Now()
	s.server.Handler().ServeHTTP(w, req)
	return w, time.Since(start)
}

// cost asks for a page again and again.
func (s *site) cost(ctx context.Context, path, accept string) (pageCost, error) {
	c := pageCost{path: path}
	var times []time.Duration
	begun := time.Now()
	for i := range pageRuns + 5 {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		w, took := s.ask(path, accept)
		if w.Code != http.StatusOK {
			return c, fmt.Errorf("%s answers %d: %.200s", path, w.Code, w.Body)
		}
		if c.bytes = len(drawing.ReplaceAllString(w.Body.String(), "")); i >= 5 { // the first ones fill what is cached
			times = append(times, took)
		}
		if i > 8 && time.Since(begun) > 3*time.Second {
			break // it will not become quick
		}
	}
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[min(len(times)-1, int(q*float64(len(times))))] }
	c.p50, c.p95, c.p99 = at(0.5), at(0.95), at(0.99)
	return c, nil
}

// example gives the values that a route's parameters take; "" where a route is
// not a page of this kind: it streams, or reads the bucket.
func (s *site) examples(ctx context.Context) (func(route string) string, error) {
	v := map[string]string{}
	for name, sql := range map[string]string{
		"database": "SELECT name FROM databases WHERE gone_at IS NULL ORDER BY id LIMIT 1",
		"week":     "SELECT week FROM archives ORDER BY week DESC LIMIT 1",
		"job":      "SELECT id::text FROM backup_jobs WHERE trigger = 'nightly' ORDER BY created_at DESC LIMIT 1",
		"copy":     "SELECT newest_id::text FROM database_standing WHERE newest_id IS NOT NULL ORDER BY database_id LIMIT 1",
		"drill":    "SELECT id::text FROM drills ORDER BY created_at DESC LIMIT 1",
		"restore":  "SELECT id::text FROM restores ORDER BY created_at DESC LIMIT 1",
		"channel":  "SELECT id::text FROM alert_config ORDER BY id LIMIT 1",
	} {
		var value string
		if err := s.store.Pool().QueryRow(ctx, sql).Scan(&value); err != nil {
			return nil, fmt.Errorf("an example of a %s: %w", name, err)
		}
		v[name] = value
	}
	of := map[string]string{"jobs": "job", "backups": "copy", "drills": "drill", "restores": "restore", "alerts": "channel"}
	return func(route string) string {
		if strings.HasPrefix(route, "/download") || strings.HasSuffix(route, "/download") || strings.Contains(route, "/diff/") || strings.HasSuffix(route, "/events") || route == "/setup" || route == "/set-password" || route == "/readyz" {
			return ""
		}
		parts := strings.Split(route, "/")
		for i, p := range parts {
			switch p {
			case ":db":
				parts[i] = v["database"]
			case ":week":
				parts[i] = v["week"]
			case ":id":
				parts[i] = v[of[parts[1]]]
			}
			if parts[i] == "" && p != "" || strings.HasPrefix(parts[i], ":") || parts[i] == "*" {
				return ""
			}
		}
		return strings.Join(parts, "/")
	}, nil
}

// more are addresses beside the plain ones: filters, orders, and the pages after
// the first.
var more = []string{
	"/?state=failed", "/?sort=age", "/?sort=size&name=blog", "/databases?sort=name", "/databases?state=attention",
	"/list?kind=manual", "/list?kind=weekly", "/list?kind=safety", "/list?date=DATE", "/list?database=DB",
	"/jobs?status=cancelled", "/jobs?database=DB", "/jobs?trigger=api&status=failed", "/jobs?date=DATE",
	"/audit?actor=person+7", "/audit?action=denied", "/audit?actor=nobody", "/audit?action=download&actor=token+ci",
}

// pagesFigure walks every page at a large size, and puts the overview beside a
// static file.
func pagesFigure(ctx context.Context, b *bench) ([]line, error) {
	s, err := b.openSite(ctx)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	example, err := s.examples(ctx)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, r := range s.server.Routes() {
		if r.Method != http.MethodGet {
			continue
		}
		if p := example(r.Path); p != "" {
			paths = append(paths, p)
		} else {
			fmt.Fprintf(os.Stderr, "\nnot walked: %s", r.Path)
		}
	}
	replace := strings.NewReplacer("DATE", time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly), "DB", strings.TrimPrefix(example("/databases/:db"), "/databases/"))
	for _, p := range more {
		paths = append(paths, replace.Replace(p))
	}
	var costs []pageCost
	for _, p := range paths {
		c, err := s.cost(ctx, p, html)
		if err != nil {
			fmt.Fprintf(os.Stderr, "\n%v", err)
			continue
		}
		costs = append(costs, c)
	}
	for _, p := range []string{"/status", "/databases", "/list", "/jobs", example("/jobs/:id"), example("/drills/:id")} {
		c, err := s.cost(ctx, p, "application/json")
		if err != nil {
			return nil, err
		}
		c.path += " as JSON"
		costs = append(costs, c)
	}
	slices.SortFunc(costs, func(a, b pageCost) int { return int(b.p95 - a.p95) })
	var lines []line
	for _, c := range costs {
		lines = append(lines, line{
			"GET " + c.path, "", fmt.Sprintf("p95 %.1f ms, %.0f kB", ms(c.p95), float64(c.bytes)/1000), "≤ 50 ms, ≤ 150 kB",
			c.p95 <= pageTime && (c.bytes <= pageBytes || strings.HasPrefix(c.path, "/metrics")), fmt.Sprintf("p50 %.1f, p99 %.1f ms", ms(c.p50), ms(c.p99)),
		})
	}
	beside, err := s.beside(ctx, b.runs)
	return append(beside, lines...), err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// beside asks for the overview and for a static file in turns, 16 at once, over
// the network.
func (s *site) beside(ctx context.Context, runs int) ([]line, error) {
	srv := httptest.NewServer(s.server.Handler())
	defer srv.Close()
	var overview, page []float64
	var p99 []time.Duration
	for range runs {
		n, slow, err := load(ctx, srv.URL+"/")
		if err != nil {
			return nil, err
		}
		overview, p99 = append(overview, n), append(p99, slow)
		if n, _, err = load(ctx, srv.URL+static.URL("patina.css")); err != nil {
			return nil, err
		}
		page = append(page, n)
	}
	slices.Sort(overview)
	slices.Sort(page)
	slices.Sort(p99)
	o, p, slow := overview[len(overview)/2], page[len(page)/2], p99[len(p99)/2]
	return []line{
		{"overview, 16 at once", "the style sheet, same program", fmt.Sprintf("1/%.1f of its rate", p/o), "≥ 1/12", o*12 >= p, fmt.Sprintf("%.0f against %.0f requests/s", o, p)},
		{"the same, p99", "", fmt.Sprintf("%.1f ms", ms(slow)), "≤ 25 ms", slow <= 25*time.Millisecond, ""},
	}, nil
}

// load asks an address for a while, 16 at once, and gives requests a second and
// the p99 of their times.
func load(ctx context.Context, url string) (float64, time.Duration, error) {
	const clients, during = 16, 4 * time.Second
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	type outcome struct {
		times []time.Duration
		err   error
	}
	outcomes := make(chan outcome, clients)
	begin := time.Now()
	for range clients {
		go func() {
			var o outcome
			for time.Since(begin) < during && o.err == nil {
				start := time.Now()
				o.err = fetch(ctx, client, url)
				o.times = append(o.times, time.Since(start))
			}
			outcomes <- o
		}()
	}
	var all []time.Duration
	for range clients {
		o := <-outcomes
		if o.err != nil {
			return 0, 0, o.err
		}
		all = append(all, o.times...)
	}
	took := time.Since(begin)
	slices.Sort(all)
	return float64(len(all)) / took.Seconds(), all[len(all)*99/100], nil
}

func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", html)
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", url, res.StatusCode)
	}
	return nil
}
