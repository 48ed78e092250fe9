package history

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Events is GET /jobs/:id/events: the job, each time that it has changed, and
// a last event "done". A program gets JSON, htmx the fragment. Where no stream
// is to be had htmx gets a fragment that asks again by itself.
func (h *Handler) Events(c echo.Context) error {
	ctx, who, id := c.Request().Context(), auth.Of(c), c.Param("id")
	if _, err := h.load(ctx, who, id, nil, 1); err != nil {
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
	w, leave := h.Streams.watch(id)
	defer leave()
	last := ""
	for looks := 1; ; looks++ {
		next := h.Streams.next() // before looking: what changes meanwhile is seen then
		now, err := h.tell(c, who, w, id)
		if err != nil {
			return nil //nolint:nilerr // the stream just ends; the client comes back and is told
		}
		if now.text != last {
			last = now.text
			if err := send(c, "", now.text); err != nil {
				return nil //nolint:nilerr // the client went away
			}
		}
		if now.ended {
			_ = send(c, "done", "done") // nothing follows, whether it arrives or not
			return nil
		}
		if !h.Streams.alive(who.Session, func() bool { return h.Auth.Alive(context.WithoutCancel(ctx), who) }) || looks%15 == 0 && comment(c) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.Streams.Done:
			return nil
		case <-next:
		}
	}
}

// textKey is what a rendering of a job depends on beside the job.
type textKey struct {
	json bool
	who  ui.Who // without the name
}

// tell gives the job as it is now, as HTML or JSON: what another stream of the
// same rights has sent since the last look, or else anew. Who may see only some
// databases reads for itself.
func (h *Handler) tell(c echo.Context, who *auth.Actor, w *watched, id string) (told, error) {
	ctx, key := c.Request().Context(), textKey{ui.FaceOf(c.Request()) == ui.JSON, who.Who()}
	key.who.Name = ""
	limit := shownResults
	if key.json {
		limit = sentResults
	}
	if who.Databases != nil {
		p, err := h.load(ctx, who, id, nil, limit)
		if err != nil {
			return told{}, err
		}
		return h.render(ctx, p, key)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t, ok := w.texts[key]; ok {
		return t, nil
	}
	p, ok := w.parts[limit]
	if !ok {
		var err error
		if p, err = h.load(context.WithoutCancel(ctx), who, id, nil, limit); err != nil {
			return told{}, err
		}
		if w.parts == nil {
			w.parts = map[int]part{}
		}
		w.parts[limit] = p
	}
	t, err := h.render(ctx, p, key)
	if err != nil {
		return t, err
	}
	if w.texts == nil {
		w.texts = map[textKey]told{}
	}
	w.texts[key] = t
	return t, nil
}

// render words a job as it is now.
func (h *Handler) render(ctx context.Context, p part, key textKey) (told, error) {
	t := told{ended: p.Job.Status.Ended()}
	if key.json {
		j, err := h.json(ctx, p)
		if err != nil {
			return t, err
		}
		b, err := json.Marshal(j)
		t.text = string(b)
		return t, err
	}
	m := view(p, h.Clock(), key.who)
	if err := h.addProof(ctx, p.Job, &m); err != nil {
		return t, err
	}
	var b strings.Builder
	err := content(m).Render(ctx, &b)
	t.text = b.String()
	return t, err
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
