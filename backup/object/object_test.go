package object_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	objecttest.Run(t, func(t *testing.T) object.Bucket {
		b, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

func openS3(t testing.TB, client *http.Client) object.Bucket {
	t.Helper()
	url, cfg := objecttest.VersityGW(t)
	cfg.HTTPClient = client
	b, err := object.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestS3(t *testing.T) {
	t.Parallel()
	objecttest.Run(t, func(t *testing.T) object.Bucket { return openS3(t, nil) })
}

func TestFolderStaysInside(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := object.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "daily")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(t.Context(), "daily/secret", 0, -1); err == nil {
		t.Error("a link led outside")
	}
	if err := b.Replace(t.Context(), "daily/new", []byte("x"), ""); err == nil {
		t.Error("a link led outside to write")
	}
	if keys := objecttest.Keys(t, b, ""); len(keys) != 0 {
		t.Errorf("listed %v", keys)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{
		"":                             "must begin with",
		"gs://bucket":                  "must begin with",
		"file://folder":                "three slashes",
		"s3://":                        "s3://bucket",
		"s3://u:secret@bucket":         "must not hold",
		"s3://bucket?endpoint=nowhere": "endpoint",
		"s3://bucket?tls=off":          "knows endpoint and region",
		"r2://bucket":                  "R2_ACCESS_KEY_ID",
		"%":                            "cannot be read",
	} {
		_, err := object.Open(t.Context(), url, object.Config{})
		if !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: %v", url, err)
		}
	}
	b, err := object.Open(t.Context(), "r2://grove-patina", object.Config{AccountID: "acc", R2AccessKeyID: "key", R2SecretAccessKey: "hidden", R2Jurisdiction: "eu"})
	if err != nil || b.String() != "r2://grove-patina" || strings.Contains(fmt.Sprintf("%v", b), "hidden") {
		t.Errorf("%v, %v", b, err)
	}
}

// faults spoils the n-th request that matches.
type faults struct {
	next   http.RoundTripper
	mu     sync.Mutex
	match  func(*http.Request) bool
	times  int
	effect string // "500", "503", "429", "reset", "lost": the answer is lost after the server did it
	fired  int
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	hit := f.times > 0 && f.match(r)
	if hit {
		f.times--
		f.fired++
	}
	f.mu.Unlock()
	if !hit {
		return f.next.RoundTrip(r)
	}
	switch f.effect {
	case "reset":
		return nil, errors.New("connection reset by peer")
	case "lost":
		res, err := f.next.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		return nil, errors.New("connection reset by peer")
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	var code int
	_, _ = fmt.Sscan(f.effect, &code)
	return &http.Response{StatusCode: code, Status: f.effect, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// TestS3Faults: an answer that was spoilt or lost is asked for again; what was
// stored although its answer was lost is a success, once; what never comes is
// an error that leaves nothing behind.
func TestS3Faults(t *testing.T) {
	t.Parallel()
	put := func(r *http.Request) bool { return r.Method == http.MethodPut }
	complete := func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }
	for _, c := range []struct {
		name   string
		size   int
		match  func(*http.Request) bool
		effect string
		times  int
		ok     bool
	}{
		{"put 500", 100, put, "500", 2, true},
		{"put 503", 100, put, "503", 1, true},
		{"put 429", 100, put, "429", 1, true},
		{"put reset", 100, put, "reset", 1, true},
		{"put lost", 100, put, "lost", 1, true},
		{"put lost for ever", 100, put, "lost", 100, true},
		{"put never", 100, put, "500", 100, false},
		{"part 500", 11 << 20, put, "500", 2, true},
		{"part lost", 11 << 20, put, "lost", 1, true},
		{"part never", 11 << 20, put, "503", 100, false},
		{"complete 500", 11 << 20, complete, "500", 1, true},
		{"complete lost", 11 << 20, complete, "lost", 1, true},
		{"complete lost for ever", 11 << 20, complete, "lost", 100, true},
		{"complete never", 11 << 20, complete, "500", 100, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &faults{next: http.DefaultTransport, match: c.match, times: c.times, effect: c.effect}
			b := openS3(t, &http.Client{Transport: f})
			body := bytes.Repeat([]byte(c.name), c.size/len(c.name))
			u, err := b.Create(t.Context(), "k", object.CreateOptions{PartSize: 5 << 20})
			if err != nil {
				t.Fatal(err)
			}
			_, err = u.Write(body)
			if err == nil {
				_, err = u.Commit(t.Context())
			}
			f.mu.Lock()
			fired := f.fired
			f.times = 0
			f.mu.Unlock()
			if fired == 0 {
				t.Fatal("the fault did not fire")
			}
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(objecttest.Get(t, b, "k", 0, -1), body) {
					t.Error("other bytes came back")
				}
				return
			}
			if !errors.Is(err, backup.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if err := u.Abort(t.Context()); err != nil {
				t.Errorf("abort: %v", err)
			}
			for p, err := range b.Uploads(t.Context()) {
				t.Errorf("left: %v, %v", p, err)
			}
			if keys := objecttest.Keys(t, b, ""); len(keys) > 0 {
				t.Errorf("left: %v", keys)
			}
		})
	}
}

func TestS3Words(t *testing.T) {
	t.Parallel()
	url, cfg := objecttest.VersityGW(t)
	cfg.R2SecretAccessKey = "wrong-secret-value"
	b, err := object.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Stat(t.Context(), "k")
	if !errors.Is(err, backup.ErrDenied) || backup.Next(err) == "" || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("a wrong key: %v", err)
	}
	cfg.R2SecretAccessKey = "patina-test-secret"
	if b, err = object.Open(t.Context(), strings.Replace(url, "s3://bucket", "s3://other", 1), cfg); err != nil {
		t.Fatal(err)
	}
	for _, err := range b.List(t.Context(), "") {
		if !errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "there is no bucket s3://other") {
			t.Errorf("no bucket: %v", err)
		}
	}
}

// TestS3Memory: an upload holds one part, whatever its size.
func TestS3Memory(t *testing.T) {
	b := openS3(t, nil)
	u, err := b.Create(t.Context(), "large", object.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var peak uint64
	for range 200 {
		if _, err := u.Write(chunk); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}
	if i, err := u.Commit(t.Context()); err != nil || i.Size != 200<<20 {
		t.Fatalf("%+v, %v", i, err)
	}
	if peak > 80<<20 {
		t.Errorf("the heap grew to %d MiB", peak>>20)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	d := backup.Date{Year: 2026, Month: time.November, Day: 23}
	at := time.Date(2026, 11, 23, 14, 22, 33, 0, time.UTC)
	for want, k := range map[string]object.Key{
		"daily/2026-11-23/groveauth.sql":                    {Kind: backup.Daily, Date: d, Slug: "groveauth"},
		"daily/2026-11-23/groveauth.sql.gz":                 {Kind: backup.Daily, Date: d, Slug: "groveauth", Gzip: true},
		"manual/2026-11-23/142233Z-018f3c2a/groveauth.sql":  {Kind: backup.Manual, Date: d, At: at, JobID: "018f3c2a", Slug: "groveauth"},
		"safety/2026-11-23/142233Z-018f3c2a/x~6ae2b03c.sql": {Kind: backup.Safety, Date: d, At: at, JobID: "018f3c2a", Slug: "x~6ae2b03c"},
		"kept/2026-11-23/a.b-c_d.sql":                       {Kind: backup.Kept, Date: d, Slug: "a.b-c_d"},
		"weekly/2026-W48.tar.gz":                            {Kind: backup.Weekly, Week: object.Week{Year: 2026, Week: 48}},
		"weekly/2026-W53.tar.gz":                            {Kind: backup.Weekly, Week: object.WeekOf(time.Date(2027, 1, 3, 23, 0, 0, 0, time.UTC))},
	} {
		if got := k.String(); got != want {
			t.Errorf("built %s, want %s", got, want)
		}
		if got, err := object.ParseKey(want); err != nil || got != k {
			t.Errorf("%s is read as %+v, %v", want, got, err)
		}
	}
	k := object.Key{Kind: backup.Daily, Date: d, Slug: "groveauth", Attempt: 2}
	if k.String() != "daily/2026-11-23/groveauth.2.sql" || object.ManifestKey(k.String()) != "daily/2026-11-23/groveauth.2.sql.json" {
		t.Error(k.String())
	}
	k = object.Key{Kind: backup.Manual, Date: d, At: at, JobID: "018f3c2a-0000-7000-8000-0000deadbeef", Slug: "a"}
	if k.String() != "manual/2026-11-23/142233Z-deadbeef/a.sql" {
		t.Error(k.String())
	}
	for _, s := range []string{
		"", "daily", "daily/2026-11-23/", "daily/2026-02-30/a.sql", "daily/2026-11-23/A.sql", "daily/2026-11-23/../a.sql", "daily/2026-11-23/a/b.sql",
		"daily/2026-11-23/a.sql.gz.gz", "daily/2026-11-23/a%2fb.sql", "daily/0000-11-23/a.sql", "DAILY/2026-11-23/a.sql", "weekly/2026-W54.tar.gz", "weekly/2025-W53.tar.gz", "weekly/2026-W00.tar.gz",
		"manual/2026-11-23/252233Z-018f3c2a/a.sql", "manual/2026-11-23/142233Z-018F3C2A/a.sql", "kept/2026-11-23/a~1.sql", "daily/2026-11-23/" + strings.Repeat("a", 65) + ".sql", "daily/2026-11-23/a.sql\n", "meta/2026-11-23.json",
	} {
		if k, err := object.ParseKey(s); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%q was read as %+v, %v", s, k, err)
		}
	}
}

func TestSlug(t *testing.T) {
	t.Parallel()
	const id = "6ae2b03c-40dd-499e-ab31-017f78989b60"
	for name, want := range map[string]string{
		"groveauth": "groveauth", "a.b_c-d": "a.b_c-d", "Grove Auth!": "grove-auth~6ae2b03c", "": "database~6ae2b03c", "..": "database~6ae2b03c", "é😀": "database~6ae2b03c",
		"../../etc/passwd": "etc-passwd~6ae2b03c", ".patina-x": "patina-x~6ae2b03c", strings.Repeat("x", 65): strings.Repeat("x", 64) + "~6ae2b03c",
	} {
		got := object.Slug(name, id, false)
		if got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
		k := object.Key{Kind: backup.Daily, Date: backup.Date{Year: 2026, Month: 1, Day: 1}, Slug: got}
		if _, err := object.ParseKey(k.String()); err != nil {
			t.Error(err)
		}
	}
	if got := object.Slug("groveauth", id, true); got != "groveauth~6ae2b03c" {
		t.Error(got)
	}
}

func TestWeek(t *testing.T) {
	t.Parallel()
	for day, want := range map[string]string{"2026-12-27": "2026-W52", "2026-12-28": "2026-W53", "2027-01-03": "2026-W53", "2027-01-04": "2027-W01", "2024-12-30": "2025-W01", "2021-01-03": "2020-W53"} {
		d, err := backup.ParseDate(day)
		if err != nil {
			t.Fatal(err)
		}
		if got := object.WeekOf(d.Time()).String(); got != want {
			t.Errorf("%s lies in %s, want %s", day, got, want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		at := time.Unix(rnd.Int64N(4_000_000_000), 0).UTC()
		w := object.WeekOf(at)
		back, err := object.ParseWeek(w.String())
		if err != nil || back != w {
			t.Fatalf("%s: %v", w, err)
		}
		if days := int(at.Sub(w.Monday().Time()).Hours()) / 24; days < 0 || days > 6 {
			t.Fatalf("%s is %d days after the Monday of %s", at, days, w)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("daily/2026-11-23/groveauth.sql")
	f.Add("manual/2026-11-23/142233Z-018f3c2a/groveauth.sql.gz")
	f.Add("weekly/2026-W48.tar.gz")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := object.ParseKey(s)
		if err != nil {
			return
		}
		if k.String() != s || strings.Contains(s, "..") && strings.Contains(s, "/../") || strings.ContainsAny(s, "\x00\\%") {
			t.Errorf("%q was taken as %+v", s, k)
		}
	})
}
