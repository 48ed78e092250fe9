// Package metrics tells Prometheus how the installation stands: each database,
// the queue, what was delivered.
//
// It asks the store at each scrape and keeps nothing between two. The number of
// its series is bounded, however many databases there are.
package metrics

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

const (
	// MostDatabases is how many databases have series of their own, critical
	// ones first; the others are one, with the worst of them.
	MostDatabases = 500
	// Others is the label of the rest.
	Others = "(others)"
	// Alive is how long after its last heartbeat a worker counts.
	Alive = 2 * time.Minute
)

// Handler serves GET /metrics.
type Handler struct {
	Store   *store.Store
	Token   string // "" where there is no such page
	Version string
	Clock   func() time.Time
}

// Serve is GET /metrics, to whoever has its token.
func (h *Handler) Serve(c echo.Context) error {
	if h.Token == "" {
		return &backup.Error{Kind: backup.ErrNotFound, Message: "There are no metrics here.", Next: "Set PATINA_METRICS_TOKEN."}
	}
	scheme, given, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	want, got := sha256.Sum256([]byte(h.Token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return echo.NewHTTPError(http.StatusUnauthorized, "Send the token of the metrics as a bearer token.")
	}
	s, err := h.look(c.Request().Context())
	if err != nil {
		return err
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(s); err != nil {
		return err
	}
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(c.Response(), c.Request())
	return nil
}

// snapshot is everything that one scrape tells.
type snapshot struct {
	version   string
	databases []series
	known     int
	stale     int
	totals    store.ResultTotals
	queue     store.QueueState
	delivery  map[store.DeliveryStatus]int64
	untold    int
	completed time.Time // of the last backup job that completed
}

// series is what is told of one database, or of all that have no series of
// their own.
type series struct {
	name                              string
	success, proven                   time.Time // zero: never
	age, objective                    time.Duration
	stale, failed                     bool
	size, rows                        int64
	took                              time.Duration
	requests, retries, read, received int64
}

func (h *Handler) look(ctx context.Context) (*snapshot, error) {
	s := &snapshot{version: h.Version}
	standings, err := h.Store.Glances(ctx, store.DatabaseFilter{})
	if err != nil {
		return nil, err
	}
	s.gather(standings, h.Clock())
	if s.totals, err = h.Store.ResultTotals(ctx); err != nil {
		return nil, err
	}
	if s.queue, err = h.Store.QueueState(ctx, Alive); err != nil {
		return nil, err
	}
	if s.delivery, err = h.Store.DeliveryCounts(ctx); err != nil {
		return nil, err
	}
	if s.untold, err = h.Store.Untold(ctx); err != nil {
		return nil, err
	}
	last, err := h.Store.LastCompletedJob(ctx)
	if last != nil && last.CompletedAt != nil {
		s.completed = *last.CompletedAt
	}
	return s, err
}

// gather makes the series of the databases in the account.
func (s *snapshot) gather(standings []backup.Standing, now time.Time) {
	standings = slices.DeleteFunc(slices.Clone(standings), func(x backup.Standing) bool { return x.Database.GoneAt != nil })
	slices.SortStableFunc(standings, func(a, b backup.Standing) int { return a.Database.Priority.Rank() - b.Database.Priority.Rank() })
	s.known = len(standings)
	for i, x := range standings {
		one := seriesOf(x, now)
		if one.stale {
			s.stale++
		}
		switch {
		case i < MostDatabases:
			s.databases = append(s.databases, one)
		case i == MostDatabases:
			one.name = Others
			s.databases = append(s.databases, one)
		default:
			s.databases[MostDatabases].join(one)
		}
	}
}

func seriesOf(x backup.Standing, now time.Time) series {
	d := x.Database
	one := series{name: ui.Name(d.Name), objective: d.Objective, age: now.Sub(d.FirstSeenAt)}
	if one.name == Others {
		one.name += " " + d.ID
	}
	_, one.stale = alert.Stale(x, now)
	if x.Newest != nil {
		one.success, one.size, one.rows = x.Newest.TakenAt, x.Newest.Size, x.Newest.Rows
	}
	if x.Proven != nil {
		one.proven, one.age = x.Proven.TakenAt, now.Sub(x.Proven.TakenAt)
	}
	if r := x.Last; r != nil {
		one.failed, one.took = r.Status == backup.ResultFailed, r.Duration
		one.requests, one.retries, one.read, one.received = int64(r.Cost.Requests), int64(r.Cost.Retries), r.Cost.RowsRead, r.Cost.Bytes
	}
	return one
}

// join adds another database: the worst of both, and the sums of what is counted.
func (a *series) join(b series) {
	a.success, a.proven = earlier(a.success, b.success), earlier(a.proven, b.proven)
	a.age, a.took = max(a.age, b.age), max(a.took, b.took)
	a.objective = min(a.objective, b.objective)
	a.stale, a.failed = a.stale || b.stale, a.failed || b.failed
	a.size, a.rows = a.size+b.size, a.rows+b.rows
	a.requests, a.retries, a.read, a.received = a.requests+b.requests, a.retries+b.retries, a.read+b.read, a.received+b.received
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
