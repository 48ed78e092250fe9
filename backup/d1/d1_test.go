package d1

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the import protocol names files by it
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

func testClient(t testing.TB, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	c, err := New(Config{
		AccountID: "acc", Token: "secret-token", BaseURL: srv.URL, Limiter: NewLocalLimiter(1e6, 1e6),
		Idle: 300 * time.Millisecond, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rows collects what a handler is given.
type rows struct {
	columns [][]string
	cells   []string
	fail    error
}

func (r *rows) Columns(_ int, names []string) error {
	r.columns = append(r.columns, slices.Clone(names))
	return nil
}

func (r *rows) Row(stmt int, cells []backup.Cell) error {
	s := fmt.Sprint(stmt)
	for _, c := range cells {
		s += fmt.Sprintf("|%d:%s", c.Kind, c.Bytes)
	}
	r.cells = append(r.cells, s)
	return r.fail
}

const goodAnswer = `{"result":[{"results":{"columns":["a","b"],"rows":[["x",1],[null,-1.5e300],["q\"\\\u00e9\ud83d\ude00\u0000\n",0]]},"success":true,"meta":{"served_by_primary":true,"rows_read":3,"size_after":4096,"duration":1.5}},` +
	`{"meta":{"rows_read":2},"success":true,"results":{"rows":[["only"]],"columns":["c"]}}],"success":true,"errors":[],"messages":[]}`

func TestRead(t *testing.T) {
	t.Parallel()
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/accounts/acc/d1/database/id/raw" || r.Header.Get("Authorization") != "Bearer secret-token" || string(body) != `{"batch":[{"sql":"one"},{"sql":"two"}]}` {
			t.Errorf("%s %q %s", r.URL.Path, r.Header.Get("Authorization"), body)
		}
		fmt.Fprint(w, goodAnswer)
	})
	var got rows
	stats, err := c.Read(t.Context(), "id", []string{"one", "two"}, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0|1:x|2:1", "0|0:|2:-1.5e300", "0|1:q\"\\é😀\x00\n|2:0", "1|1:only"}
	if !slices.Equal(got.cells, want) {
		t.Errorf("got %q\nwant %q", got.cells, want)
	}
	if len(got.columns) != 2 || !slices.Equal(got.columns[0], []string{"a", "b"}) {
		t.Errorf("columns %q", got.columns)
	}
	if stats.RowsRead != 5 || stats.SizeAfter != 4096 || !stats.Primary || stats.Bytes != int64(len(goodAnswer)) || stats.Duration != 1500*time.Microsecond {
		t.Errorf("%+v", stats)
	}
}

// TestFaults: each thing that can be wrong with an answer gives an error of the
// right kind that says what it is, and no rows of a failed answer count as whole.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name    string
		status  int
		body    string
		is      error
		says    string
		tries   int64
		headers map[string]string
	}{
		{"html with 200", 200, "<html>down</html>", backup.ErrUnavailable, "not JSON", 3, nil},
		{"nothing", 200, "", backup.ErrUnavailable, "nothing", 3, nil},
		{"cut at once", 200, `{"res`, ErrInterrupted, "cut", 3, nil},
		{"cut in a row", 200, goodAnswer[:60], ErrInterrupted, "cut", 1, nil},
		{"cut after the rows", 200, goodAnswer[:len(goodAnswer)-30], ErrInterrupted, "cut", 1, nil},
		{"not JSON in the middle", 200, goodAnswer[:60] + "}}}<", ErrInterrupted, "stopped being JSON", 1, nil},
		{"success false", 200, `{"success":false,"errors":[{"code":7500,"message":"near \"x\": syntax error at offset 1: SQLITE_ERROR"}],"result":[]}`, backup.ErrInvalid, "syntax error", 1, nil},
		{"success false after rows", 200, strings.Replace(goodAnswer, `}],"success":true`, `}],"success":false`, 1), backup.ErrUnavailable, "failed", 1, nil},
		{"an error beside success", 200, strings.Replace(goodAnswer, `"errors":[]`, `"errors":[{"code":1,"message":"but"}]`, 1), backup.ErrInvalid, "but", 1, nil},
		{"a statement short", 200, `{"result":[{"results":{"columns":[],"rows":[]},"success":true,"meta":{}}],"success":true,"errors":[]}`, backup.ErrUnavailable, "1 statements were answered of 2", 1, nil},
		{"trailing data", 200, goodAnswer + "{}", backup.ErrUnavailable, "follows", 1, nil},
		{"a row of another shape", 200, `{"result":[{"results":{"columns":["a"],"rows":[{"a":1}]}}],"success":true}`, backup.ErrUnavailable, "a row was expected", 1, nil},
		{"a nested cell", 200, `{"result":[{"results":{"columns":["a"],"rows":[[[1]]]}}],"success":true}`, backup.ErrUnavailable, "not a null", 1, nil},
		{"bad SQL", 400, `{"success":false,"errors":[{"code":7500,"message":"no such table: t: SQLITE_ERROR"}],"result":null}`, ErrNoTable, "no such table", 1, nil},
		{"too big", 400, `{"success":false,"errors":[{"code":7500,"message":"string or blob too big: SQLITE_TOOBIG"}],"result":null}`, ErrTooBig, "too big", 1, nil},
		{"overloaded", 400, `{"success":false,"errors":[{"code":7500,"message":"D1 DB is overloaded. Requests queued for too long."}]}`, backup.ErrUnavailable, "overloaded", 3, nil},
		{"unknown database", 404, `{"success":false,"errors":[{"code":7404,"message":"The database id could not be found"}]}`, backup.ErrNotFound, "could not be found", 1, nil},
		{"bad token", 401, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`, backup.ErrDenied, "Authentication", 1, nil},
		{"503 of a proxy", 503, `<html>`, backup.ErrUnavailable, "Service Unavailable", 3, nil},
		{"429", 429, `{"success":false,"errors":[{"code":971,"message":"Please wait"}]}`, backup.ErrUnavailable, "Please wait", 3, map[string]string{"Retry-After": "0"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			c := testClient(t, func(w http.ResponseWriter, _ *http.Request) {
				n.Add(1)
				for k, v := range f.headers {
					w.Header().Set(k, v)
				}
				w.WriteHeader(f.status)
				fmt.Fprint(w, f.body)
			})
			var got rows
			_, err := c.Read(t.Context(), "id", []string{"one", "two"}, &got)
			if err == nil || !errors.Is(err, f.is) || !strings.Contains(err.Error(), f.says) {
				t.Errorf("got %v, want %v that says %q", err, f.is, f.says)
			}
			if backup.Kind(err) == nil {
				t.Errorf("%v has no kind", err)
			}
			if strings.Contains(fmt.Sprint(err), "secret-token") || strings.Contains(fmt.Sprint(err), "127.0.0.1") {
				t.Errorf("the error tells a secret: %v", err)
			}
			if n.Load() != f.tries {
				t.Errorf("sent %d times, want %d", n.Load(), f.tries)
			}
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	c := testClient(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, goodAnswer)
	})
	l := &limiterLog{}
	c.cfg.Limiter = l
	if _, err := c.Read(t.Context(), "id", []string{"one", "two"}, &rows{}); err != nil {
		t.Fatal(err)
	}
	if l.paused != 7*time.Second || l.waits != 2 || c.Requests() != 2 || c.Retries() != 1 {
		t.Errorf("%+v, %d requests, %d retries", l, c.Requests(), c.Retries())
	}
}

type limiterLog struct {
	waits  int
	paused time.Duration
}

func (l *limiterLog) Wait(context.Context) error { l.waits++; return nil }

func (l *limiterLog) Pause(_ context.Context, d time.Duration) error { l.paused = d; return nil }

// TestWriteIsSentOnce: an answer that was lost may have been a commit.
func TestWriteIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 429, 500, 503} {
		var n atomic.Int64
		c := testClient(t, func(w http.ResponseWriter, _ *http.Request) {
			n.Add(1)
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
		})
		if _, err := c.Exec(t.Context(), "id", []string{"INSERT"}); !errors.Is(err, backup.ErrUnavailable) {
			t.Errorf("%d: %v", status, err)
		}
		if _, err := c.Create(t.Context(), "db", CreateOptions{}); !errors.Is(err, backup.ErrUnavailable) {
			t.Errorf("%d: %v", status, err)
		}
		if n.Load() != 2 {
			t.Errorf("status %d: two writes were sent %d times", status, n.Load())
		}
	}
}

func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, goodAnswer[:60])
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	var got rows
	if _, err := c.Read(t.Context(), "id", []string{"one", "two"}, &got); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}

func TestHandlersErrorComesBack(t *testing.T) {
	t.Parallel()
	c := testClient(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, goodAnswer) })
	stop := errors.New("stop")
	if _, err := c.Read(t.Context(), "id", []string{"one", "two"}, &rows{fail: stop}); err != stop { //nolint:errorlint // the very error
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Read(ctx, "id", []string{"one", "two"}, &rows{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page")
		var out []map[string]any
		n := map[string]int{"1": 100, "2": 100, "3": 5}[page]
		for i := range n {
			out = append(out, map[string]any{"uuid": page + "-" + fmt.Sprint(i), "name": fmt.Sprintf("db%s%03d", page, i)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": out, "result_info": map[string]int{"total_count": 205}})
	})
	all, err := c.List(t.Context())
	if err != nil || len(all) != 205 || all[0].Name != "db1000" || all[204].Name != "db3004" {
		t.Errorf("%d databases, %v", len(all), err)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	const sql = "CREATE TABLE t(a);"
	sum := md5.Sum([]byte(sql)) //nolint:gosec // as above
	etag := hex.EncodeToString(sum[:])
	var steps []string
	var polls int
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, _ := io.ReadAll(r.Body)
			steps = append(steps, "put "+string(body)+r.Header.Get("Authorization"))
			w.Header().Set("ETag", `"`+etag+`"`)
			return
		}
		var q map[string]string
		_ = json.NewDecoder(r.Body).Decode(&q)
		steps = append(steps, q["action"]+q["current_bookmark"])
		answer := map[string]any{"success": true, "at_bookmark": "b1", "status": "active"}
		switch q["action"] {
		case "init":
			answer["filename"], answer["upload_url"] = "f", "http://"+r.Host+"/upload"
		case "poll":
			if polls++; polls == 2 {
				answer["status"] = "complete"
				answer["result"] = map[string]any{"num_queries": 1, "final_bookmark": "b2", "meta": map[string]any{"rows_written": 1.0}}
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": answer})
	})
	stats, err := c.Import(t.Context(), "id", Upload{Size: int64(len(sql)), MD5: etag, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(sql)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"init", "put " + sql, "ingest", "pollb1", "pollb1"}
	if !slices.Equal(steps, want) || stats.FinalBookmark != "b2" || stats.Statements != 1 {
		t.Errorf("%q, %+v", steps, stats)
	}
}

func TestConfigProblems(t *testing.T) {
	t.Parallel()
	_, err := New(Config{BaseURL: "ftp://x"})
	if !errors.Is(err, backup.ErrInvalid) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(goodAnswer))
	f.Add([]byte(`{"result":[{"results":{"rows":[["\u0000\ud800"]]}}]}`))
	f.Add([]byte(`[[1]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDecoder(bytes.NewReader(b), ignore{})
		if err := d.envelope(); err == nil && !json.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r == 0xFFFD }) {
			t.Errorf("took %q", b)
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	row := `["` + strings.Repeat("t some text of a row, ", 10) + `","1234567",null,1.5]`
	answer := `{"result":[{"results":{"columns":["a","b","c","d"],"rows":[` + strings.Repeat(row+",", 20000) + row + `]},"success":true,"meta":{}}],"success":true,"errors":[]}`
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		if err := newDecoder(strings.NewReader(answer), ignore{}).envelope(); err != nil {
			b.Fatal(err)
		}
	}
}
