package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// recorder stands between a client and an account: the first time it passes a
// request on and keeps the answer in a file; later it answers from the file,
// so that what is measured is the exporter and not the account.
type recorder struct {
	dir    string
	target http.Handler // nil: replay only
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256([]byte(req.Method + " " + req.URL.String() + "\n" + string(body)))
	path := filepath.Join(r.dir, hex.EncodeToString(sum[:12]))
	if f, err := os.Open(path); err == nil {
		defer f.Close()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, f)
		return
	}
	if r.target == nil {
		http.Error(w, "not recorded: "+strings.TrimSpace(string(body)), http.StatusGone)
		return
	}
	again := req.Clone(req.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	r.target.ServeHTTP(rec, again)
	if rec.Code == http.StatusOK {
		if err := os.WriteFile(path, rec.Body.Bytes(), 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// generated answers as an account with one database of many rows, which are
// made as they are asked for: nothing is stored anywhere.
type generated struct {
	rows int64  // of the one table
	text string // of every row
}

const generatedSQL = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"

var (
	afterPattern = regexp.MustCompile(`> \+(\d+)`)
	limitPattern = regexp.MustCompile(`LIMIT (\d+)`)
)

func (g *generated) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(req.URL.Path, "/bookmark") {
		fmt.Fprint(w, `{"success":true,"errors":[],"messages":[],"result":{"bookmark":"0000-1"}}`)
		return
	}
	var body struct {
		SQL   string                 `json:"sql"`
		Batch []struct{ SQL string } `json:"batch"`
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if body.SQL != "" {
		body.Batch = []struct{ SQL string }{{body.SQL}}
	}
	out := bufio.NewWriterSize(w, 1<<16)
	defer func() { _ = out.Flush() }()
	fmt.Fprint(out, `{"success":true,"errors":[],"messages":[],"result":[`)
	for i, q := range body.Batch {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		fmt.Fprintf(out, `{"success":true,"results":{"columns":[%s],"rows":[`, names(q.SQL))
		n := g.answer(out, q.SQL)
		fmt.Fprintf(out, `]},"meta":{"served_by_primary":true,"rows_read":%d,"rows_written":0,"size_after":%d,"duration":0.1,"changes":0}}`, n, g.rows*int64(len(g.text)))
	}
	fmt.Fprint(out, `]}`)
}

// names gives as many columns' names as the statement has.
func names(q string) string {
	switch {
	case strings.Contains(q, "total_changes"):
		return `"a"`
	case strings.Contains(q, "FROM sqlite_schema"), strings.Contains(q, "pragma_table_xinfo"), strings.Contains(q, "pragma_foreign_key_list"), strings.Contains(q, "pragma_index_list"):
		return `"a","b","c","d"`
	case strings.Contains(q, "pragma_table_list"):
		return `"a","b","c"`
	}
	return `"a","b"`
}

// answer writes the rows of one statement, and gives how many.
func (g *generated) answer(w *bufio.Writer, q string) int64 {
	t := hex.EncodeToString([]byte("t"))
	switch {
	case strings.Contains(q, "FROM sqlite_schema"):
		fmt.Fprintf(w, `["table","%s","%[1]s","%x"]`, t, generatedSQL)
		return 1
	case strings.Contains(q, "pragma_table_xinfo"):
		fmt.Fprintf(w, `["%s","%x",0,1],["%[1]s","%[3]x",0,0]`, t, "id", "v")
		return 2
	case strings.Contains(q, "pragma_foreign_key_list"), strings.Contains(q, "pragma_index_list"):
		return 0
	case strings.Contains(q, "pragma_table_list"):
		fmt.Fprintf(w, `["%s","table",0]`, t)
		return 1
	case strings.Contains(q, "total_changes"):
		fmt.Fprint(w, `[7]`)
		return 1
	}
	var after, limit int64 = 0, g.rows
	if m := afterPattern.FindStringSubmatch(q); m != nil {
		after, _ = strconv.ParseInt(m[1], 10, 64)
	}
	if m := limitPattern.FindStringSubmatch(q); m != nil {
		limit, _ = strconv.ParseInt(m[1], 10, 64)
	}
	end := min(g.rows, after+limit)
	var number []byte
	for id := after + 1; id <= end; id++ {
		if id > after+1 {
			_ = w.WriteByte(',')
		}
		_, _ = w.WriteString(`["`)
		number = strconv.AppendInt(number[:0], id, 10)
		_, _ = w.Write(number)
		_, _ = w.WriteString(`","t`)
		_, _ = w.WriteString(g.text)
		_, _ = w.WriteString(`"]`)
	}
	return end - after
}
