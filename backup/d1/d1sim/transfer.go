package d1sim

import (
	"bufio"
	"context"
	"crypto/md5" //nolint:gosec // the protocol names files by it
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// importCall is the import protocol: init, upload, ingest, poll. The work is
// done at once, within ingest; poll tells that it is complete.
func (a *Account) importCall(r *request) (any, any, error) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	var body struct {
		Action   string `json:"action"`
		ETag     string `json:"etag"`
		Filename string `json:"filename"`
		Bookmark string `json:"current_bookmark"`
	}
	if err := read(r, &body); err != nil {
		return nil, nil, err
	}
	if sum, err := hex.DecodeString(body.ETag); body.Action != "poll" && (err != nil || len(sum) != md5.Size) {
		return nil, nil, &apiError{http.StatusBadRequest, 7400, "The etag is not an MD5"}
	}
	switch body.Action {
	case "init":
		return map[string]any{"success": true, "filename": body.ETag + ".sql", "upload_url": "http://" + r.Host + "/signed/" + d.ID + "/" + body.ETag + ".sql"}, nil, nil
	case "ingest":
		if body.Filename != body.ETag+".sql" {
			return nil, nil, &apiError{http.StatusBadRequest, 7400, "The file name is not the one given by init"}
		}
		return a.ingest(r.Context(), d, body.Filename)
	case "poll":
		d.mu.Lock()
		done := d.uploads["complete "+body.Bookmark]
		d.mu.Unlock()
		if done == "" {
			return map[string]any{"success": false, "status": "error", "error": "Not currently importing anything."}, nil, nil
		}
		return complete(body.Bookmark, done), nil, nil
	}
	return nil, nil, &apiError{http.StatusBadRequest, 7400, "The action is not known"}
}

func complete(bookmark, queries string) map[string]any {
	n := 0
	_, _ = fmt.Sscan(queries, &n)
	return map[string]any{
		"success": true, "type": "import", "status": "complete", "at_bookmark": bookmark,
		"result": map[string]any{"num_queries": n, "final_bookmark": bookmark, "meta": map[string]any{}},
	}
}

// ingest runs the statements of an upload: in one transaction, or each by
// itself, as the account is set.
func (a *Account) ingest(ctx context.Context, d *database, file string) (any, any, error) {
	text, err := os.ReadFile(d.file(file))
	if err != nil {
		return nil, nil, &apiError{http.StatusBadRequest, 7400, "Nothing was uploaded under this name"}
	}
	n, err := a.runScript(ctx, d, string(text))
	if err != nil {
		return map[string]any{"success": false, "type": "import", "status": "error", "error": err.Error()}, nil, nil
	}
	b, err := d.bookmark(ctx)
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	d.uploads["complete "+b] = fmt.Sprint(n)
	d.mu.Unlock()
	return map[string]any{"success": true, "type": "import", "status": "active", "at_bookmark": b}, nil, nil
}

// runScript runs an import to its end, as D1 does: it does not stop because
// whoever asked for it goes away.
func (a *Account) runScript(ctx context.Context, d *database, text string) (int, error) {
	ctx = context.WithoutCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	statements := split(text)
	exec := func(q string) error {
		_, err := d.conn.ExecContext(ctx, q)
		return wrapSQL(err)
	}
	if !a.cfg.ImportPieces {
		if err := exec("BEGIN"); err != nil {
			return 0, err
		}
	}
	for i, s := range statements {
		err := refused(strings.TrimSpace(s))
		if err == nil {
			err = exec(s)
		}
		if err != nil {
			if !a.cfg.ImportPieces {
				_ = exec("ROLLBACK")
			}
			return i, err
		}
	}
	if !a.cfg.ImportPieces {
		if err := exec("COMMIT"); err != nil {
			_ = exec("ROLLBACK")
			return 0, err
		}
	}
	return len(statements), nil
}

func (d *database) file(name string) string { return d.path + "-" + filepath.Base(name) }

// upload takes the file of an import. It asks for no token: the URL is enough.
func (a *Account) upload(w http.ResponseWriter, r *http.Request) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	text, err := io.ReadAll(r.Body)
	sum := md5.Sum(text) //nolint:gosec // as above
	name := hex.EncodeToString(sum[:])
	if err != nil || r.PathValue("file") != name+".sql" || r.Header.Get("Authorization") != "" {
		http.Error(w, "BadDigest", http.StatusBadRequest)
		return
	}
	if err := os.WriteFile(d.file(name+".sql"), text, 0o600); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("ETag", `"`+name+`"`)
}

// exportCall is Cloudflare's own export, with what it is known to lose: texts
// and numbers go through JSON's types. The first call answers that it is at
// work, the next that it is done.
func (a *Account) exportCall(r *request) (any, any, error) {
	d, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	var body struct {
		Format   string `json:"output_format"`
		Bookmark string `json:"current_bookmark"`
	}
	if err := read(r, &body); err != nil {
		return nil, nil, err
	}
	if body.Format != "polling" {
		return nil, nil, &apiError{http.StatusBadRequest, 7400, "The output format is not known"}
	}
	b, err := d.bookmark(r.Context())
	if err != nil {
		return nil, nil, err
	}
	if body.Bookmark == "" {
		return map[string]any{"success": true, "type": "export", "status": "active", "at_bookmark": b}, nil, nil
	}
	return map[string]any{
		"success": true, "type": "export", "status": "complete", "at_bookmark": b,
		"result": map[string]any{"filename": d.Name + ".sql", "signed_url": "http://" + r.Host + "/signed/" + d.ID + "/export.sql"},
	}, nil, nil
}

func (a *Account) download(w http.ResponseWriter, r *http.Request) {
	d, err := a.find(r.PathValue("id"))
	if err != nil || r.PathValue("file") != "export.sql" {
		http.NotFound(w, r)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := bufio.NewWriter(w)
	defer out.Flush()
	fmt.Fprintln(out, "PRAGMA defer_foreign_keys=TRUE;")
	if err := d.writeExport(r.Context(), out); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (d *database) writeExport(ctx context.Context, out io.Writer) error {
	rows, err := d.conn.QueryContext(ctx, `SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid`)
	if err != nil {
		return err
	}
	var tables [][2]string
	for rows.Next() {
		var t [2]string
		if err := rows.Scan(&t[0], &t[1]); err != nil {
			return err
		}
		tables = append(tables, t)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, t := range tables {
		fmt.Fprintln(out, t[1]+";")
		q := `"` + strings.ReplaceAll(t[0], `"`, `""`) + `"`
		rows, err := d.conn.QueryContext(ctx, "SELECT * FROM "+q)
		if err != nil {
			return err
		}
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				return err
			}
			fmt.Fprintf(out, "INSERT INTO %s VALUES(%s);\n", q, literals(values))
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}

func literals(values []any) string {
	parts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			parts[i] = "NULL"
		case []byte:
			parts[i] = fmt.Sprintf("X'%X'", v)
		case string:
			parts[i] = "'" + strings.ReplaceAll(strings.ToValidUTF8(v, "\uFFFD"), "'", "''") + "'"
		case int64:
			parts[i] = string(appendNumber(nil, float64(v)))
		case float64:
			parts[i] = string(appendNumber(nil, v))
		default:
			parts[i] = "NULL"
		}
	}
	return strings.Join(parts, ",")
}
