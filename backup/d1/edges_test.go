package d1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// slowLimiter holds every request back for longer than silence may last.
type slowLimiter struct{ d time.Duration }

func (l slowLimiter) Wait(ctx context.Context) error           { return backup.Pause(ctx, l.d) }
func (slowLimiter) Pause(context.Context, time.Duration) error { return nil }

// slowRows takes longer over its rows than silence may last.
type slowRows struct {
	ctx context.Context
	d   time.Duration
	n   int
}

func (*slowRows) Columns(int, []string) error { return nil }

func (s *slowRows) Row(int, []backup.Cell) error {
	if s.n++; s.n == 1 {
		return backup.Pause(s.ctx, s.d)
	}
	return nil
}

// TestWaitingIsNoSilence: neither the wait for the limiter (a Retry-After lasts
// minutes) nor a handler that is slow to take its rows ends a request.
func TestWaitingIsNoSilence(t *testing.T) {
	t.Parallel()
	row := `["` + strings.Repeat("x", 60_000) + `"],`
	c := testClient(t, says(200, `{"result":[{"results":{"columns":["a"],"rows":[`+strings.Repeat(row, 200)+`[""]]},"success":true}],"success":true,"errors":[]}`))
	c.cfg.Idle = 500 * time.Millisecond
	c.cfg.Limiter = slowLimiter{2 * c.cfg.Idle}
	h := &slowRows{ctx: t.Context(), d: 2 * c.cfg.Idle}
	if _, err := c.Read(t.Context(), "id", []string{"a"}, h); err != nil || h.n != 201 {
		t.Errorf("%d rows, %v", h.n, err)
	}
}

// TestNamesAreNoExcuses: a name in an error of SQL is not what D1 says of itself.
func TestNamesAreNoExcuses(t *testing.T) {
	t.Parallel()
	for _, m := range []string{
		"no such table: password_reset_tokens: SQLITE_ERROR", "no such column: session_timeout", `near \"reset\": syntax error: SQLITE_ERROR`,
		"UNIQUE constraint failed: reset.id: SQLITE_CONSTRAINT",
	} {
		c := testClient(t, says(400, `{"success":false,"errors":[{"code":7500,"message":"`+m+`"}]}`))
		if _, err := c.Read(t.Context(), "id", []string{"a"}, &rows{}); !errors.Is(err, backup.ErrInvalid) || c.Requests() != 1 {
			t.Errorf("%s: %v, sent %d times", m, backup.Kind(err), c.Requests())
		}
	}
}

// TestShapesThatWouldLose: answers of which a lenient reader would make fewer or
// other rows.
func TestShapesThatWouldLose(t *testing.T) {
	t.Parallel()
	raw := func(result string) string { return `{"result":[` + result + `],"success":true,"errors":[]}` }
	for name, body := range map[string]string{
		"a short row":            raw(`{"results":{"columns":["a","b"],"rows":[["x"]]},"success":true}`),
		"a long row":             raw(`{"results":{"columns":["a"],"rows":[["x","y"]]},"success":true}`),
		"columns of other width": raw(`{"results":{"rows":[["x"]],"columns":["a","b"]},"success":true}`),
		"an endless value":       raw(`{"results":{"columns":["a"],"rows":[["` + strings.Repeat("x", maxValue+1<<20) + `"]]},"success":true}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testClient(t, says(200, body))
			c.cfg.Idle = time.Minute
			var r rows
			if _, err := c.Read(t.Context(), "id", []string{"a"}, &r); !errors.Is(err, backup.ErrUnavailable) || errors.Is(err, ErrInterrupted) {
				t.Errorf("%v, %d rows", err, len(r.cells))
			}
		})
	}
	for name, body := range map[string]string{
		"a list that comes short": `{"result":[],"success":true,"errors":[],"result_info":{"total_count":3}}`,
		"no list":                 `{"result":null,"success":true,"errors":[]}`,
		"an error beside success": `{"result":[{"uuid":"a","name":"a"}],"success":true,"errors":[{"code":1,"message":"but"}]}`,
	} {
		if all, err := testClient(t, says(200, body)).List(t.Context()); backup.Kind(err) == nil {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
	c := testClient(t, says(200, `{"result":null,"success":true,"errors":[]}`))
	_, err1 := c.Get(t.Context(), "id")
	_, err2 := c.Create(t.Context(), "name", CreateOptions{})
	_, err3 := c.Bookmark(t.Context(), "id", time.Time{})
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, backup.ErrUnavailable) {
			t.Errorf("an empty success: %v", err)
		}
	}
}

// TestRedirectsAreNotFollowed: a write that is redirected would be sent twice.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if _, err := c.Exec(t.Context(), "id", []string{"INSERT"}); !errors.Is(err, backup.ErrUnavailable) || n.Load() != 1 {
		t.Errorf("%v, arrived %d times", err, n.Load())
	}
}

// TestStatementsAreSentAsTheyAre or not at all.
func TestStatementsAreSentAsTheyAre(t *testing.T) {
	t.Parallel()
	c := testClient(t, says(200, `{"result":[],"success":true,"errors":[]}`))
	for _, s := range []string{"INSERT INTO t VALUES('\xff')", "DELETE FROM t\x00 WHERE a = 1"} {
		if _, err := c.Exec(t.Context(), "id", []string{s}); !errors.Is(err, backup.ErrInvalid) || c.Requests() > 0 {
			t.Errorf("%q: %v, sent %d times", s, err, c.Requests())
		}
	}
}

func TestErrorsAreClean(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400} {
		c := testClient(t, says(status, `{"success":false,"errors":[{"code":7500,"message":"bad Bearer secret-token\u0007\n\u001b[31m"}]}`))
		_, err := c.Read(t.Context(), "id", []string{"x"}, &rows{})
		if s := fmt.Sprint(err); err == nil || strings.Contains(s, "secret-token") || strings.ContainsAny(s, "\a\n\x1b") {
			t.Errorf("%q", s)
		}
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for h, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "7": 7 * time.Second, "99999999999999": maxRetryAfter,
		"Mon, 23 Nov 2026 03:00:30 GMT": 30 * time.Second, "Mon, 23 Nov 2099 03:00:30 GMT": maxRetryAfter, "Mon, 23 Nov 2020 03:00:30 GMT": 0,
	} {
		if got := retryAfter(h, now); got != want {
			t.Errorf("%q: %s, want %s", h, got, want)
		}
	}
}

func TestImportsThatFail(t *testing.T) {
	t.Parallel()
	up := Upload{Size: 1, MD5: strings.Repeat("0", 32), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }}
	for name, answer := range map[string]string{
		"in a list":      `{"success":false,"status":"error","errors":["no such table: x"]}`,
		"without a word": `{"status":"error"}`,
		"not importing":  `{"success":false,"error":"Not currently importing anything."}`,
	} {
		c := testClient(t, says(200, `{"success":true,"errors":[],"result":`+answer+`}`))
		if _, err := c.Import(t.Context(), "id", up); backup.Kind(err) == nil || c.Requests() > 2 {
			t.Errorf("%s: %v after %d requests", name, err, c.Requests())
		}
	}
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done() // until the client gives up
			return
		}
		fmt.Fprintf(w, `{"success":true,"errors":[],"result":{"success":true,"filename":"f","upload_url":"http://%s/up?X-Amz-Signature=SECRET"}}`, r.Host)
	})
	if _, err := c.Import(t.Context(), "id", up); !errors.Is(err, ErrInterrupted) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("an upload that stands still: %v", err)
	}
}
