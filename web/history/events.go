package history

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// How many event streams one session or token may hold, and all together:
// each asks Postgres once an interval.
const (
	maxStreams      = 6
	maxStreamsTotal = 200
)

// Streams counts open event streams, and ends them all when Done is closed.
type Streams struct {
	Interval time.Duration   // between two looks at the job
	Done     <-chan struct{} // the server is stopping

	mu    sync.Mutex
	open  map[string]int
	total int
}

// take opens a stream for a session; false where it has too many.
func (s *Streams) take(session string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[session] >= maxStreams || s.total >= maxStreamsTotal {
		return nil, false
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[session]++
	s.total++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.open[session]--; s.open[session] == 0 {
			delete(s.open, session)
		}
	}, true
}

// Open tells how many streams are open.
func (s *Streams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Events is GET /jobs/:id/events: the job, each time that it has changed, and
// a last event "done". A program gets JSON, htmx the fragment. Where no stream
// is to be had htmx gets a fragment that asks again by itself.
func (h *Handler) Events(c echo.Context) error {
	ctx, who, id := c.Request().Context(), auth.Of(c), c.Param("id")
	if _, _, err := h.load(ctx, who, id); err != nil {
		return err
	}
	release, ok := h.Streams.take(who.Session)
	if !ok {
		if ui.FaceOf(c.Request()) != ui.JSON {
			return h.Show(c)
		}
		c.Response().Header().Set("Retry-After", "10")
		return echo.NewHTTPError(http.StatusTooManyRequests, "Too many event streams are open.")
	}
	defer release()
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return h.stream(ctx, c, id)
}

// stream sends until the job has ended, the client or the server goes, or the
// session ends.
func (h *Handler) stream(ctx context.Context, c echo.Context, id string) error {
	who := auth.Of(c)
	tick := time.NewTicker(h.Streams.Interval)
	defer tick.Stop()
	last := ""
	for looks := 1; ; looks++ {
		text, ended, err := h.snapshot(c, who, id)
		if err != nil {
			return nil //nolint:nilerr // the stream just ends; the client comes back and is told
		}
		if text != last {
			last = text
			if err := send(c, "", text); err != nil {
				return nil //nolint:nilerr // the client went away
			}
		}
		if ended {
			_ = send(c, "done", "done") // nothing follows, whether it arrives or not
			return nil
		}
		if looks%15 == 0 && (!h.Auth.Alive(ctx, who) || comment(c) != nil) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.Streams.Done:
			return nil
		case <-tick.C:
		}
	}
}

// snapshot gives the job as it is now, as HTML or JSON.
func (h *Handler) snapshot(c echo.Context, who *auth.Actor, id string) (text string, ended bool, err error) {
	ctx := c.Request().Context()
	job, results, err := h.load(ctx, who, id)
	if err != nil {
		return "", false, err
	}
	now := h.Clock()
	if ui.FaceOf(c.Request()) == ui.JSON {
		proofs, err := h.proofs(ctx, results)
		if err != nil {
			return "", false, err
		}
		b, err := json.Marshal(ui.JobOf(job, results, proofs, now))
		return string(b), job.Status.Ended(), err
	}
	m := view(job, results, now, who.Who())
	if err := h.addProof(ctx, job, &m); err != nil {
		return "", false, err
	}
	var b strings.Builder
	err = content(m).Render(ctx, &b)
	return b.String(), job.Status.Ended(), err
}

// send writes one event. The text may have several lines.
func send(c echo.Context, event, text string) error {
	var b strings.Builder
	if event != "" {
		b.WriteString("event: " + event + "\n")
	}
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", " ")) {
		b.WriteString("data: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	b.WriteString("\n")
	return write(c, b.String())
}

// comment keeps the connection from looking dead.
func comment(c echo.Context) error { return write(c, ": still here\n\n") }

// write sends at once. A client that does not take it within half a minute is gone.
func write(c echo.Context, s string) error {
	rc := http.NewResponseController(c.Response())
	// Not every writer has a deadline (a test's recorder), and none is needed there.
	_ = rc.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Response().Write([]byte(s)); err != nil {
		return err
	}
	return rc.Flush()
}
