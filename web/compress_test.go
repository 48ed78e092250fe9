package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// Pages and lists are compressed for who is signed in and takes it; an answer
// that may hold a secret never is, nor a stream, nor a dump.
func TestCompression(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, body := b.database("groveauth")
	job := b.job(backup.JobCompleted, backup.ResultSuccess, d)
	token := b.token(store.Admin, true)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	ask := func(method, path, accept, encoding string, in io.Reader) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, b.http.URL+path, in)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", accept)
		req.Header.Set("Accept-Encoding", encoding)
		if in != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		res, err := client.Do(req)
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		must(t, err)
		return res, string(text)
	}
	for _, path := range []string{"/", "/databases", "/databases/groveauth", "/jobs/" + job, "/list", "/audit", "/alerts"} {
		plain, whole := ask("GET", path, "text/html", "identity", nil)
		zipped, small := ask("GET", path, "text/html", "br, gzip;q=0.5", nil)
		if plain.StatusCode != 200 || plain.Header.Get("Content-Encoding") != "" || zipped.Header.Get("Content-Encoding") != "gzip" || len(small) > len(whole)/2 {
			t.Errorf("%s: %d, %q and %q, %d bytes and %d", path, plain.StatusCode, plain.Header.Get("Content-Encoding"), zipped.Header.Get("Content-Encoding"), len(whole), len(small))
			continue
		}
		for _, res := range []*http.Response{plain, zipped} {
			if !strings.Contains(strings.Join(res.Header.Values("Vary"), ","), "Accept-Encoding") {
				t.Errorf("%s may be kept for who takes something else: %q", path, res.Header.Values("Vary"))
			}
		}
		r, err := gzip.NewReader(strings.NewReader(small))
		must(t, err)
		if text, err := io.ReadAll(r); err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "</html>") {
			t.Errorf("%s is no whole page once it is unpacked: %v", path, err)
		}
	}
	for _, path := range []string{"/sign-in", "/setup", "/jobs/" + job + "/events", "/download/" + c.Date.String() + "/groveauth", "/healthz", "/nothing"} {
		if res, text := ask("GET", path, "text/html", "gzip", nil); res.Header.Get("Content-Encoding") != "" || path[1] == 'd' && text != string(body) {
			t.Errorf("%s comes as %q", path, res.Header.Get("Content-Encoding"))
		}
	}
	if res, _ := ask("GET", "/", "text/html", "gzip;q=0", nil); res.Header.Get("Content-Encoding") != "" {
		t.Error("gzip was refused, and came")
	}
	channels, err := b.store.AlertConfigs(t.Context())
	must(t, err)
	res, text := ask("POST", "/alerts/"+channels[0].ID+"/secret", "text/html", "gzip", strings.NewReader(""))
	if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "" || !strings.Contains(text, "whsec_") {
		t.Errorf("the page that shows a secret: %d, %q", res.StatusCode, res.Header.Get("Content-Encoding"))
	}
}
