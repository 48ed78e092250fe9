package history

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
	"github.com/AutumnsGrove/Patina/web/auth"
)

// counter counts the queries that Postgres is asked, and the looks among them.
type counter struct{ queries, looks atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	c.queries.Add(1)
	if strings.Contains(d.SQL, ".xmin") {
		c.looks.Add(1)
	}
	return ctx
}

func (*counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// sink takes what a stream sends, and tells when there is something.
type sink struct {
	*httptest.ResponseRecorder
	mu   sync.Mutex
	text strings.Builder
	sent chan struct{}
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	select {
	case s.sent <- struct{}{}:
	default:
	}
	return len(b), nil
}

// A thousand streams of fifty jobs cost Postgres one query a look, and what has
// changed is read once for all that tell of it.
func TestManyStreamsOneLook(t *testing.T) {
	t.Parallel()
	var n counter
	cfg, err := pgxpool.ParseConfig(storetest.NewURL(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.Tracer, cfg.MaxConns = &n, 8
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(pool)
	const streams, jobs, sessions = 1000, 50, 1000/maxStreams + 1
	var ids []string
	for range jobs {
		id := uuid.NewString()
		ids = append(ids, id)
		if err := s.InsertJob(t.Context(), backup.Job{ID: id, Kind: backup.JobBackup, Trigger: backup.TriggerManual, Status: backup.JobRunning, Date: backup.DateOf(now), CreatedAt: now}); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	clock := func() time.Time { return now }
	h := &Handler{Store: s, Clock: clock, Auth: auth.New(s, []byte("0123456789abcdef"), false, clock), Streams: &Streams{Store: s, Interval: 50 * time.Millisecond, Done: done}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	sinks := make([]*sink, streams)
	token, err := s.InsertToken(ctx, store.Token{Name: "t", SHA256: make([]byte, 32), Role: store.Viewer, CreatedAt: now})
	if err != nil {
		t.Fatal(err)
	}
	for i := range sinks {
		sinks[i] = &sink{ResponseRecorder: httptest.NewRecorder(), sent: make(chan struct{}, 1)}
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Accept", "text/html")
		who := &auth.Actor{ID: token, Token: true, Rank: auth.View, Session: fmt.Sprint("session ", i/maxStreams)}
		c := echo.New().NewContext(req.WithContext(auth.WithActor(ctx, who)), sinks[i])
		running.Go(func() {
			if err := h.stream(ctx, c, ids[i%jobs]); err != nil {
				t.Error(err)
			}
		})
	}
	for _, k := range sinks {
		<-k.sent
	}
	look := func() { // until after the next one
		for was := n.looks.Load(); n.looks.Load() < was+2; {
			<-h.Streams.next()
		}
	}
	settle := func() { // until no session is being asked for
		for i := range sessions {
			h.Streams.alive(fmt.Sprint("session ", i), func() bool { return true })
		}
	}
	look()
	settle()
	before, looks := n.queries.Load(), n.looks.Load()
	for range 5 {
		look()
	}
	if asked, looked := n.queries.Load()-before, n.looks.Load()-looks; asked > looked+sessions {
		t.Errorf("%d streams asked %d queries in %d looks", streams, asked, looked)
	}
	settle()
	before, looks = n.queries.Load(), n.looks.Load()
	if err := s.MoveJob(t.Context(), ids[0], backup.Transition{Status: backup.JobCompleted, At: now}); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < streams; i += jobs { // each of them tells that it has ended
		for ended := false; !ended; {
			<-sinks[i].sent
			sinks[i].mu.Lock()
			ended = strings.Contains(sinks[i].text.String(), "completed")
			sinks[i].mu.Unlock()
		}
	}
	if asked, looked := n.queries.Load()-before, n.looks.Load()-looks; asked > looked+(1+looked/15)*sessions+20 {
		t.Errorf("one change was read with %d queries in %d looks", asked, looked)
	}
	stop()
	running.Wait()
	close(done)
	pool.Close()
}
