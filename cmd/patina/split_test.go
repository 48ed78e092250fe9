package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Two dashboards and a worker behind a proxy that ends TLS and asks them in
// turns, as a platform runs them: one sign-in holds at both, a backup that one
// takes is followed at the other, and the audit log has the address of the
// person, whatever somebody writes into the header before the proxy does.
func TestTwoDashboardsBehindAProxy(t *testing.T) {
	t.Parallel()
	e, _ := groveEnv(t)
	e["PATINA_BUCKET"], e["PATINA_TRUSTED_PROXIES"] = "file://"+t.TempDir(), "127.0.0.1, 198.51.100.7"
	var targets []*url.URL
	asked := make([]atomic.Int64, 2)
	var next atomic.Int64
	const person, app = "203.0.113.9", "198.51.100.7" // the platform's own address comes last, as on fly.io
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		n := int(next.Add(1)) % 2
		asked[n].Add(1)
		r.SetURL(targets[n])
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Forwarded-For", strings.Join(append(r.In.Header.Values("X-Forwarded-For"), person, app), ", "))
	}})
	t.Cleanup(proxy.Close)
	e["PATINA_PUBLIC_URL"] = proxy.URL
	var running []*running
	address := regexp.MustCompile(`"address":"([^"]+)"`)
	for range 2 {
		r := begin(t, e, "serve", "--embedded", "--worker=false", "--log", "json")
		running = append(running, r)
		m := address.FindStringSubmatch(r.await("dashboard started"))
		if m == nil {
			t.Fatal("no address")
		}
		targets = append(targets, &url.URL{Scheme: "http", Host: m[1]})
	}
	worker := begin(t, e, "serve", "--embedded", "--web=false", "--log", "json")
	worker.await("worker started")
	worker.await("the account changed")
	patinaIn(t, e, "a long enough password\n", "user", "add", "ada", "--role", "admin", "--password-stdin").want(t, exitDone)

	client := proxy.Client()
	client.Jar, _ = cookiejar.New(nil)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	do := func(method, path, body, kind string, v any) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, proxy.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Accept", "application/json")
		req.Header.Set("X-Forwarded-For", "192.0.2.66") // a lie
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && v != nil {
			err = json.Unmarshal(text, v)
		}
		if err != nil {
			t.Fatalf("%s %s: %d %v\n%.500s", method, path, res.StatusCode, err, text)
		}
		return res.StatusCode
	}
	form := url.Values{"name": {"ada"}, "password": {"a long enough password"}}
	do("POST", "/sign-in", form.Encode(), "application/x-www-form-urlencoded", nil)
	cookies := client.Jar.Cookies(&url.URL{Scheme: "https", Host: strings.TrimPrefix(proxy.URL, "https://")})
	if len(cookies) == 0 || !strings.HasPrefix(cookies[0].Name, "__Host-") {
		t.Fatalf("no cookie of a site with TLS: %v", cookies)
	}
	for range 4 {
		if code := do("GET", "/status", "", "", nil); code != http.StatusOK {
			t.Fatalf("a session of one dashboard answers %d at another", code)
		}
	}
	var started struct {
		JobID string `json:"job_id"`
	}
	if code := do("POST", "/trigger", `{"database":"groveauth"}`, "application/json", &started); code != http.StatusAccepted {
		t.Fatalf("POST /trigger answers %d", code)
	}
	var job struct{ Status string }
	deadline := time.After(time.Minute)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for job.Status != "completed" {
		select {
		case <-deadline:
			t.Fatalf("the job is %q", job.Status)
		case <-again.C:
			do("GET", "/jobs/"+started.JobID, "", "", &job)
		}
	}
	if asked[0].Load() < 3 || asked[1].Load() < 3 {
		t.Errorf("the proxy asked them %d and %d times", asked[0].Load(), asked[1].Load())
	}
	var log struct {
		Entries []struct{ Actor, Action, IP string }
	}
	do("GET", "/audit", "", "", &log)
	seen := false
	for _, entry := range log.Entries {
		if entry.Actor == "ada" {
			seen = true
			if entry.IP != person {
				t.Errorf("%s by ada is on record from %q, want %s", entry.Action, entry.IP, person)
			}
		}
	}
	if !seen {
		t.Errorf("nothing of ada is on record: %+v", log)
	}
	for _, r := range append(running, worker) {
		if code := r.ended(); code != exitDone {
			t.Errorf("exit code %d:\n%s", code, r.text)
		}
	}
}
