package d1sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Handler serves the account's API: mount it at the base URL.
func (a *Account) Handler() http.Handler {
	mux := http.NewServeMux()
	const base = "/accounts/{account}/d1/database"
	mux.HandleFunc("GET "+base, a.call("list", false, a.list))
	mux.HandleFunc("POST "+base, a.call("create", true, a.post))
	mux.HandleFunc("GET "+base+"/{id}", a.call("get", false, a.get))
	mux.HandleFunc("DELETE "+base+"/{id}", a.call("delete", true, a.remove))
	mux.HandleFunc("POST "+base+"/{id}/raw", a.call("raw", false, a.raw))
	mux.HandleFunc("POST "+base+"/{id}/query", a.call("query", false, a.query))
	mux.HandleFunc("POST "+base+"/{id}/import", a.call("import", true, a.importCall))
	mux.HandleFunc("POST "+base+"/{id}/export", a.call("export", false, a.exportCall))
	mux.HandleFunc("GET "+base+"/{id}/time_travel/bookmark", a.call("bookmark", false, a.bookmarkCall))
	mux.HandleFunc("POST "+base+"/{id}/time_travel/restore", a.call("restore", true, a.restoreCall))
	mux.HandleFunc("PUT /signed/{id}/{file}", a.upload)
	mux.HandleFunc("GET /signed/{id}/{file}", a.download)
	return mux
}

// apiError is an answer that says what is wrong.
type apiError struct {
	status, code int
	message      string
}

func (e *apiError) Error() string { return e.message }

var errUnknown = &apiError{http.StatusNotFound, 7404, "The database could not be found"}

// request is one call with what was found out about it.
type request struct {
	*http.Request
	write   bool // the token may write
	replica bool
}

// call wraps a method of the API with what all have in common: the rate limit,
// the token, latency, faults, and the envelope.
func (a *Account) call(name string, writes bool, f func(*request) (result any, info any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		a.stats.add(id, 1, 0)
		if a.cfg.Latency > 0 {
			t := time.NewTimer(a.cfg.Latency)
			defer t.Stop()
			select {
			case <-t.C:
			case <-r.Context().Done():
				return
			}
		}
		if wait := a.limit.take(a.cfg.Clock(), a.cfg.RatePer5Min); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
			fail(w, &apiError{http.StatusTooManyRequests, 971, "Please wait and consider throttling your request speed"})
			return
		}
		fault := a.faults.next(id, name)
		if fault != nil && spoil(w, r, fault) {
			return
		}
		q := &request{Request: r, replica: fault != nil && fault.Effect == Replica}
		if err := a.authorize(q, writes); err != nil {
			fail(w, err)
			return
		}
		result, info, err := f(q)
		if fault != nil && fault.Effect == Nothing {
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			fail(w, err)
			return
		}
		body, err := envelope(result, info)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if fault != nil && fault.Effect == Cut && len(body) > fault.CutAfter {
			_, _ = w.Write(body[:fault.CutAfter])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body)
	}
}

// spoil gives the answers of faults that need no work done; it tells whether it did.
func spoil(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	switch f.Effect {
	case RateLimited:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		}
		fail(w, &apiError{http.StatusTooManyRequests, 971, "Please wait and consider throttling your request speed"})
	case Unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html><h1>503 Service Unavailable</h1></html>")
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><title>Just a moment...</title></html>")
	case SuccessFalse:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"result":[],"success":false,"errors":[{"code":7500,"message":"internal error; reference = simulated"}],"messages":[]}`)
	case Hang:
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client go
		<-r.Context().Done()
	default:
		return false
	}
	return true
}

func (a *Account) authorize(r *request, writes bool) error {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case a.cfg.AccountID != "" && r.PathValue("account") != a.cfg.AccountID:
		return &apiError{http.StatusForbidden, 10000, "Authentication error"}
	case a.cfg.ReadOnlyToken != "" && token == a.cfg.ReadOnlyToken:
		if writes {
			return &apiError{http.StatusForbidden, 10000, "Authentication error"}
		}
		return nil
	case a.cfg.Token != "" && token != a.cfg.Token:
		return &apiError{http.StatusUnauthorized, 10000, "Authentication error"}
	}
	r.write = true
	return nil
}

func envelope(result, info any) ([]byte, error) {
	if raw, ok := result.(json.RawMessage); ok { // large: not to be gone over again
		return append(append([]byte(`{"result":`), raw...), `,"success":true,"errors":[],"messages":[]}`...), nil
	}
	e := map[string]any{"result": result, "success": true, "errors": []any{}, "messages": []any{}}
	if info != nil {
		e["result_info"] = info
	}
	return json.Marshal(e)
}

func fail(w http.ResponseWriter, err error) {
	var e *apiError
	var q *sqlError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &q):
		e = &apiError{http.StatusBadRequest, 7500, q.message}
	case errors.Is(err, backup.ErrConflict):
		e = &apiError{http.StatusBadRequest, 7502, err.Error()}
	case errors.Is(err, backup.ErrNotFound):
		e = errUnknown
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler)
	default:
		e = &apiError{http.StatusInternalServerError, 7000, "internal error: " + err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(map[string]any{"result": nil, "success": false, "messages": []any{}, "errors": []any{map[string]any{"code": e.code, "message": e.message}}})
}

func read(r *request, v any) error {
	if err := json.NewDecoder(io.LimitReader(r.Body, 100<<20)).Decode(v); err != nil {
		return &apiError{http.StatusBadRequest, 7400, "The request is malformed: " + err.Error()}
	}
	return nil
}

func (d *database) describe(whole bool) map[string]any {
	m := map[string]any{"uuid": d.ID, "name": d.Name, "version": "production", "created_at": d.Created.Format(time.RFC3339Nano), "jurisdiction": nil}
	if whole {
		var tables int64
		d.mu.Lock()
		_ = d.conn.QueryRowContext(context.Background(), `SELECT count(*) FROM sqlite_schema WHERE type = 'table'`).Scan(&tables)
		d.mu.Unlock()
		size := int64(0)
		if st, err := os.Stat(d.path); err == nil {
			size = st.Size()
		}
		m["num_tables"], m["file_size"], m["read_replication"] = tables, size, map[string]string{"mode": "disabled"}
	}
	return m
}

func (a *Account) list(r *request) (any, any, error) {
	q := r.URL.Query()
	page, per := number(q.Get("page"), 1), min(number(q.Get("per_page"), 100), 10_000)
	out := []any{}
	total := 0
	for _, x := range a.Databases() {
		if n := q.Get("name"); n != "" && !strings.Contains(x.Name, n) {
			continue
		}
		if total++; total > (page-1)*per && total <= page*per {
			if d, err := a.find(x.ID); err == nil {
				out = append(out, d.describe(false))
			}
		}
	}
	return out, map[string]int{"page": page, "per_page": per, "count": len(out), "total_count": total}, nil
}

func number(s string, def int) int {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 1 {
		return int(f)
	}
	return def
}

func (a *Account) post(r *request) (any, any, error) {
	var body struct{ Name string }
	if err := read(r, &body); err != nil {
		return nil, nil, err
	}
	if body.Name == "" {
		return nil, nil, &apiError{http.StatusBadRequest, 7400, "The name is missing"}
	}
	id, err := a.Create(body.Name)
	if err != nil {
		return nil, nil, err
	}
	d, err := a.find(id)
	if err != nil {
		return nil, nil, err
	}
	return d.describe(true), nil, nil
}

func (a *Account) get(r *request) (any, any, error) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	return d.describe(true), nil, nil
}

func (a *Account) remove(r *request) (any, any, error) { return nil, nil, a.Delete(r.PathValue("id")) }

func (a *Account) raw(r *request) (any, any, error)   { return a.run(r, false) }
func (a *Account) query(r *request) (any, any, error) { return a.run(r, true) }

func (a *Account) run(r *request, objects bool) (any, any, error) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	var body struct {
		query
		Batch []query `json:"batch"`
	}
	if err := read(r, &body); err != nil {
		return nil, nil, err
	}
	queries := body.Batch
	if body.SQL != "" {
		queries = []query{body.query}
		if parts := split(body.SQL); len(parts) > 1 && len(body.Params) == 0 {
			queries = nil
			for _, p := range parts {
				queries = append(queries, query{SQL: p})
			}
		}
	}
	if len(queries) == 0 {
		return nil, nil, &apiError{http.StatusBadRequest, 7400, "No SQL statements detected."}
	}
	for _, q := range queries {
		if w := words(q.SQL); !r.write && len(w) > 0 && w[0] != "SELECT" && w[0] != "PRAGMA" && w[0] != "WITH" && w[0] != "EXPLAIN" {
			return nil, nil, &apiError{http.StatusForbidden, 10000, "Authentication error"}
		}
		if a.faults.Hook != nil {
			a.faults.Hook(d.ID, q.SQL)
		}
	}
	b, err := a.answer(r.Context(), d, queries, objects, r.replica)
	return json.RawMessage(b), nil, err
}

func (a *Account) bookmarkCall(r *request) (any, any, error) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	b, err := d.bookmark(r.Context())
	return map[string]string{"bookmark": b}, nil, err
}

func (a *Account) restoreCall(r *request) (any, any, error) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	to := r.URL.Query().Get("bookmark")
	previous, err := d.bookmark(r.Context())
	if err != nil {
		return nil, nil, err
	}
	for _, s := range d.snapshots {
		if s.bookmark == to {
			if err := a.Load(d.ID, s.path); err != nil {
				return nil, nil, err
			}
			if now, err := a.find(d.ID); err == nil {
				now.snapshots = d.snapshots
			}
			return map[string]string{"bookmark": to, "previous_bookmark": previous, "message": fmt.Sprintf("Database has been restored to bookmark %s", to)}, nil, nil
		}
	}
	return nil, nil, &apiError{http.StatusBadRequest, 7400, "The bookmark is not known, or too old"}
}
