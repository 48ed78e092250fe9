package main_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/object"
)

// traffic is what an account saw of a fleet.
type traffic struct {
	mu      sync.Mutex
	at      []time.Time // of each request
	reading int         // queries that are being answered
	most    int
}

func (w *traffic) see(q *http.Request) (after func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = append(w.at, time.Now())
	if !strings.HasSuffix(q.URL.Path, "/raw") {
		return func() {}
	}
	w.reading++
	w.most = max(w.most, w.reading)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reading--
	}
}

// exceeds gives the span that saw the most requests beyond burst and rate, and
// how many beyond.
func (w *traffic) exceeds(burst int, perSecond float64) (beyond float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A request that was let through may arrive late, and so close upon others.
	const late = 250 * time.Millisecond
	for i := range w.at {
		for j := i; j < len(w.at); j++ {
			span := w.at[j].Sub(w.at[i]) + late
			beyond = max(beyond, float64(j-i+1)-float64(burst)-perSecond*span.Seconds())
		}
	}
	return beyond
}

// Three processes on one Postgres share a night's work: each database once,
// within one limit of exports and one rate of requests. make bench does the same
// with more of everything (-only fleet).
func TestFleet(t *testing.T) {
	t.Parallel()
	const databases, processes, perFiveMinutes = 60, 3, 3_000
	r := newRig(t, false)
	var seen traffic
	watch := seen.see
	r.watch.Store(&watch)
	for i := 2; i < databases; i++ {
		id, err := r.sim.Create(fmt.Sprintf("db-%03d", i))
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{`CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)`, fmt.Sprintf(`INSERT INTO t VALUES(1, 'row of %d')`, i)} {
			if err := r.sim.Exec(id, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.run("databases", "sync")
	seen.at = nil // the command has a budget of its own
	r.env = append(r.env, fmt.Sprintf("PATINA_API_REQUESTS=%d", perFiveMinutes))
	r.flags = append(r.flags, "--web=false")
	c := r.conn()
	defer c.Close(t.Context())
	var fleet []*exec.Cmd
	for range processes {
		fleet = append(fleet, r.serve(""))
	}
	r.wait(2*time.Minute, "the night's end", func() bool { _, ok := r.ended(c); return ok })
	for _, cmd := range fleet {
		stop(t, cmd)
	}
	var status string
	var jobs, results, wins, distinct, copies, workers int
	if err := c.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM backup_jobs WHERE kind = 'backup'), (SELECT min(status) FROM backup_jobs WHERE kind = 'backup'), count(*), count(*) FILTER (WHERE status = 'success'),
		count(DISTINCT database_id), (SELECT count(DISTINCT key) FROM backup_inventory WHERE deleted_at IS NULL),
		(SELECT count(DISTINCT attempted_by[array_upper(attempted_by, 1)]) FROM river_job WHERE kind = 'export' AND state = 'completed') FROM backup_results`).
		Scan(&jobs, &status, &results, &wins, &distinct, &copies, &workers); err != nil {
		t.Fatal(err)
	}
	if jobs != 1 || status != "completed" || results != databases || wins != databases || distinct != databases || copies != databases {
		t.Errorf("%d jobs (%s), %d results, %d won, of %d databases, %d copies; want 1 and %d of each", jobs, status, results, wins, distinct, copies, databases)
	}
	if workers < 2 {
		t.Errorf("%d processes did all the work", workers)
	}
	stored := r.objects()
	manifests := 0
	for info, err := range r.bucket.List(t.Context(), "daily/") {
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := strings.CutSuffix(info.Key, ".json"); ok && stored[key] != "" && object.ManifestKey(key) == info.Key {
			manifests++
		}
	}
	if len(stored) != databases || manifests != databases {
		t.Errorf("%d dumps and %d manifests are stored, want %d", len(stored), manifests, databases)
	}
	if len(seen.at) < 3*databases || seen.most == 0 {
		t.Fatalf("the account saw %d requests, %d of them queries: nothing was measured", len(seen.at), seen.most)
	}
	if seen.most > 3 {
		t.Errorf("%d exports queried at once, over a limit of 3", seen.most)
	}
	if beyond := seen.exceeds(100, perFiveMinutes/300.0); beyond > 0 {
		t.Errorf("%.1f requests went beyond the shared rate", beyond)
	}
	t.Logf("%d requests by %d processes", len(seen.at), workers)
}
