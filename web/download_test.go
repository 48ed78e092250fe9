package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, c, body := b.database("groveauth")
	p := b.program(b.token(store.Viewer, true))
	path := "/download/" + c.Date.String() + "/groveauth"
	res := p.get(path)
	sum := sha256.Sum256(body)
	if res.status != 200 || res.body != string(body) {
		t.Fatalf("%d, %d of %d bytes", res.status, len(res.body), len(body))
	}
	for name, want := range map[string]string{
		"Etag": `"` + c.SHA256 + `"`, "Content-Length": fmt.Sprint(len(body)), "Accept-Ranges": "bytes", "Content-Type": "application/sql; charset=utf-8",
		"Content-Disposition": "attachment; filename=groveauth-" + c.Date.String() + ".sql", "X-Content-Type-Options": "nosniff",
		"Repr-Digest": "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":", "Patina-Backup": c.ID, "Cache-Control": "no-store",
	} {
		if got := res.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	head := p.do("HEAD", path, nil)
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(body)) || head.header.Get("Etag") != res.header.Get("Etag") {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	if !contains(b.audited(), "token test viewer|download|backup "+c.ID+" of groveauth, "+c.Key+"|sent") {
		t.Errorf("not on record: %q", b.audited())
	}
	if n := len(b.audited()); n != 1 {
		t.Errorf("%d lines for one download", n)
	}
}

func TestDownloadConditions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, c, body := b.database("groveauth")
	p := b.program(b.token(store.Viewer, true))
	path, tag := "/download/"+c.Date.String()+"/groveauth", `"`+c.SHA256+`"`
	for _, tt := range []struct {
		header []string
		status int
		want   string // of the body
		rng    string // Content-Range
	}{
		{[]string{"Range", "bytes=0-99"}, 206, string(body[:100]), fmt.Sprintf("bytes 0-99/%d", len(body))},
		{[]string{"Range", "bytes=100-"}, 206, string(body[100:]), fmt.Sprintf("bytes 100-%d/%d", len(body)-1, len(body))},
		{[]string{"Range", "bytes=-7"}, 206, string(body[len(body)-7:]), fmt.Sprintf("bytes %d-%d/%d", len(body)-7, len(body)-1, len(body))},
		{[]string{"Range", "bytes=10-20", "If-Range", tag}, 206, string(body[10:21]), fmt.Sprintf("bytes 10-20/%d", len(body))},
		{[]string{"Range", "bytes=10-20", "If-Range", `"other"`}, 200, string(body), ""},
		{[]string{"Range", "bytes=10-20", "If-Range", c.TakenAt.UTC().Format(http.TimeFormat)}, 200, string(body), ""},
		{[]string{"Range", "lines=1-2"}, 200, string(body), ""},
		{[]string{"If-None-Match", tag}, 304, "", ""},
		{[]string{"If-None-Match", `W/` + tag, "Range", "bytes=0-1"}, 304, "", ""},
		{[]string{"If-None-Match", `"other"`}, 200, string(body), ""},
		{[]string{"If-Match", `"other"`}, 412, "-", ""},
		{[]string{"If-Match", tag}, 200, string(body), ""},
		{[]string{"Range", fmt.Sprintf("bytes=%d-", len(body))}, 416, "-", fmt.Sprintf("bytes */%d", len(body))},
		{[]string{"Range", "bytes=0-1,3-4"}, 416, "-", fmt.Sprintf("bytes */%d", len(body))},
		// Row 13: a thousand overlapping ranges.
		{[]string{"Range", "bytes=" + strings.Repeat("0-,", 1000) + "0-"}, 416, "-", fmt.Sprintf("bytes */%d", len(body))},
	} {
		res := p.get(path, tt.header...)
		if res.status != tt.status || tt.want != "-" && res.body != tt.want || res.header.Get("Content-Range") != tt.rng {
			t.Errorf("%.80q: %d, %d bytes, %q", tt.header, res.status, len(res.body), res.header.Get("Content-Range"))
		}
		if res.status >= 400 && (res.header.Get("Content-Type") != "application/problem+json" || res.header.Get("Content-Disposition") != "") {
			t.Errorf("%.80q: the error is sent as %v", tt.header, res.header)
		}
	}
	// A download taken up where it was cut off is the dump.
	first := p.get(path, "Range", "bytes=0-999").body
	rest := p.get(path, "Range", "bytes=1000-", "If-Range", tag).body
	if sum := sha256.Sum256([]byte(first + rest)); hex.EncodeToString(sum[:]) != c.SHA256 {
		t.Error("two ranges do not make the dump")
	}
}

func TestDownloadChoosesCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, daily, _ := b.database("groveauth")
	p := b.program(b.token(store.Viewer, true))
	date := daily.Date
	edit := func(kind backup.CopyKind, proof backup.ProofState) func(*backup.Copy) {
		return func(c *backup.Copy) { c.Kind, c.Proof, c.Date = kind, proof, date }
	}
	later := daily.TakenAt.Add(10 * time.Minute)
	manual := b.copyOf(d, []byte("manual"), later, edit(backup.Manual, backup.ProofPending))
	get := func(query string) string {
		res := p.get("/download/" + date.String() + "/groveauth" + query)
		return fmt.Sprint(res.status, " ", res.header.Get("Patina-Backup"))
	}
	if got := get(""); got != "200 "+manual.ID {
		t.Errorf("the newest stored one: %s, want %s", got, manual.ID)
	}
	proven := b.copyOf(d, []byte("proven manual"), later.Add(-time.Minute), edit(backup.Manual, backup.ProofProven))
	if got := get(""); got != "200 "+proven.ID {
		t.Errorf("the newest proven one: %s", got)
	}
	must(t, b.store.SetProof(t.Context(), daily.ID, backup.ProofProven, time.Now(), ""))
	if got := get(""); got != "200 "+daily.ID {
		t.Errorf("the proven daily: %s", got)
	}
	if got := get("?backup=" + manual.ID); got != "200 "+manual.ID {
		t.Errorf("a chosen one: %s", got)
	}
	other, otherCopy, _ := b.database("other")
	for _, id := range []string{otherCopy.ID, "x", other.ID} {
		if got := get("?backup=" + id); got != "404 " {
			t.Errorf("backup=%s: %s", id, got)
		}
	}
	must(t, b.store.MarkDeleted(t.Context(), manual.ID, time.Now()))
	if got := get("?backup=" + manual.ID); got != "404 " {
		t.Errorf("a deleted one: %s", got)
	}
	for _, id := range []string{daily.ID, proven.ID} {
		must(t, b.store.SetProof(t.Context(), id, backup.ProofSuspect, time.Now(), "differs"))
	}
	if got := get(""); got != "404 " {
		t.Errorf("only suspect ones: %s", got)
	}
}

// An object that is not what was recorded never arrives as a whole dump.
func TestDownloadOfBadObject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, body := b.database("groveauth")
	big := append(bytes.Repeat([]byte("-- x\n"), 600_000), body...)
	bigCopy := b.copyOf(d, big, time.Now().Add(-time.Minute))
	token := b.token(store.Viewer, true)
	fetch := func(c backup.Copy) (int, int, error) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", b.http.URL+"/download/"+c.Date.String()+"/groveauth?backup="+c.ID, nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, 0, err
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		return res.StatusCode, len(got), err
	}
	if status, n, err := fetch(bigCopy); status != 200 || n != len(big) || err != nil {
		t.Fatalf("a good one: %d %d %v", status, n, err)
	}
	for name, spoil := range map[string][]byte{
		"a flipped bit": flip(big), "a cut object": big[:len(big)-1], "another object": bytes.Repeat([]byte("y"), len(big)),
	} {
		must(t, b.bucket.Replace(t.Context(), bigCopy.Key, spoil, ""))
		if _, n, err := fetch(bigCopy); err == nil || n >= len(big) {
			t.Errorf("%s: %d of %d bytes, %v", name, n, len(big), err)
		}
	}
	must(t, b.bucket.Delete(t.Context(), c.Key))
	res := b.program(token).get("/download/" + c.Date.String() + "/groveauth?backup=" + c.ID)
	if res.status != 500 || !strings.Contains(res.body, "not in the bucket") || !strings.Contains(res.body, "another copy") {
		t.Errorf("a missing object: %d %s", res.status, res.body)
	}
	if !strings.Contains(b.log.String(), "not what was recorded") {
		t.Error("the log does not say that the object is bad")
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func TestDownloadForD1(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, body := b.database("groveauth")
	p := b.program(b.token(store.Viewer, true))
	var want bytes.Buffer
	must(t, dump.ForD1(&want, bytes.NewReader(body)))
	path := "/download/" + c.Date.String() + "/groveauth?backup=" + c.ID + "&for=d1"
	res := p.get(path)
	if res.status != 200 || res.body != want.String() || res.header.Get("Etag") != `"`+c.SHA256+`-d1"` || res.header.Get("Repr-Digest") != "" {
		t.Errorf("%d, %d of %d bytes, %v", res.status, len(res.body), want.Len(), res.header)
	}
	for line := range strings.Lines(res.body) {
		if line == "BEGIN TRANSACTION;\n" || line == "COMMIT;\n" {
			t.Errorf("D1 refuses %s", line)
		}
	}
	if res := p.get(path, "Range", "bytes=0-9"); res.status != 200 || res.body != want.String() {
		t.Errorf("a range of it: %d", res.status)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := w.Write(body)
	must(t, err)
	must(t, w.Close())
	gz := b.copyOf(d, zipped.Bytes(), time.Now(), func(c *backup.Copy) { c.Compression = backup.Gzip })
	path = "/download/" + gz.Date.String() + "/groveauth?backup=" + gz.ID
	if res := p.get(path + "&for=d1"); res.status != 200 || res.body != want.String() {
		t.Errorf("from a compressed copy: %d, %d bytes", res.status, len(res.body))
	}
	if res := p.get(path); res.status != 200 || res.body != zipped.String() || res.header.Get("Content-Type") != "application/gzip" || res.header.Get("Content-Encoding") != "" || !strings.HasSuffix(res.header.Get("Content-Disposition"), ".sql.gz") {
		t.Errorf("a compressed copy: %d %v", res.status, res.header)
	}
	if res := p.get(path + "&for=mysql"); res.status != 400 {
		t.Errorf("for=mysql: %d", res.status)
	}
}

func TestDownloadTable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, body := b.database("groveauth")
	p := b.program(b.token(store.Viewer, true))
	path := "/download/" + c.Date.String() + "/groveauth?backup=" + c.ID
	want := func(opt dump.TableOptions) string {
		var out bytes.Buffer
		must(t, dump.OneTable(&out, bytes.NewReader(body), "users", opt))
		return out.String()
	}
	tags := map[string]bool{`"` + c.SHA256 + `"`: true, `"` + c.SHA256 + `-d1"`: true}
	for query, opt := range map[string]dump.TableOptions{
		"&table=users":                    {},
		"&table=users&for=d1":             {ForD1: true},
		"&table=users&as=u_2&for=d1":      {ForD1: true, As: "u_2"},
		"&table=users&as=u%22%27%0A%3B--": {As: "u\"'\n;--"},
	} {
		res := p.get(path+query, "Range", "bytes=0-9")
		if res.status != 200 || res.body != want(opt) || res.header.Get("Accept-Ranges") != "none" || res.header.Get("Repr-Digest") != "" {
			t.Errorf("%s: %d, %d bytes, %v", query, res.status, len(res.body), res.header)
		}
		tag := res.header.Get("Etag")
		if tags[tag] || !strings.HasPrefix(tag, `"`+c.SHA256+"-table-") || strings.Count(tag, `"`) != 2 {
			t.Errorf("%s: the tag %s is another variant's", query, tag)
		}
		tags[tag] = true
		if again := p.get(path+query, "If-None-Match", tag); again.status != 304 || again.body != "" {
			t.Errorf("%s: with its tag %d", query, again.status)
		}
		if name := res.header.Get("Content-Disposition"); !strings.Contains(name, "groveauth-"+c.Date.String()+".users.") {
			t.Errorf("%s: saved as %s", query, name)
		}
	}
	if !contains(b.audited(), "token test viewer|download|backup "+c.ID+" of groveauth, "+c.Key+"|sent") {
		t.Errorf("not on record: %q", b.audited())
	}
	before := len(b.audited())
	for query, status := range map[string]int{"&table=nope": 404, "&table=users&as=USERS": 400, "&table=users&as=sqlite_x": 400, "&as=x": 400, "&table=%00": 400, "&table=%ff": 400, "&table=users&for=pg": 400} {
		res := p.get(path + query)
		if res.status != status || res.header.Get("Content-Type") != "application/problem+json" || res.header.Get("Content-Disposition") != "" || res.header.Get("Etag") != "" {
			t.Errorf("%s: %d %v %s", query, res.status, res.header, res.body)
		}
	}
	if res := p.get(path + "&table=nope"); !strings.Contains(res.body, "it holds users") {
		t.Errorf("the tables there are, are not told: %s", res.body)
	}
	if n := len(b.audited()); n != before {
		t.Errorf("%d downloads are on record that gave nothing", n-before)
	}
	if res := p.do("HEAD", path+"&table=users", nil); res.status != 200 || res.body != "" || !tags[res.header.Get("Etag")] {
		t.Errorf("HEAD: %d %v", res.status, res.header)
	}
	// Compressed, one member a table; and one that is not what was recorded.
	var zipped bytes.Buffer
	for _, part := range [][]byte{body[:500], body[500:]} {
		w := gzip.NewWriter(&zipped)
		_, err := w.Write(part)
		must(t, err)
		must(t, w.Close())
	}
	gz := b.copyOf(d, zipped.Bytes(), time.Now(), func(c *backup.Copy) { c.Compression = backup.Gzip })
	path = "/download/" + gz.Date.String() + "/groveauth?backup=" + gz.ID + "&table=users"
	if res := p.get(path); res.status != 200 || res.body != want(dump.TableOptions{}) {
		t.Errorf("from a compressed copy: %d, %d bytes", res.status, len(res.body))
	}
	bad := b.copyOf(d, flip(body), time.Now())
	if res := p.get("/download/" + bad.Date.String() + "/groveauth?backup=" + bad.ID + "&table=users"); res.status != 500 || !strings.Contains(res.body, "damaged") {
		t.Errorf("a flipped bit: %d %.300s", res.status, res.body)
	}
}

// slowBucket gives a stored object only once it is told to.
type slowBucket struct {
	object.Bucket
	opened, goOn chan struct{}
}

func (s *slowBucket) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Bucket.Open(ctx, key, offset, length)
	s.opened <- struct{}{}
	<-s.goOn
	return r, err
}

// TestDownloadUnderDeletion: what is being downloaded cannot be deleted, be it
// as it is stored or as a variant; once it is, it cannot be downloaded.
func TestDownloadUnderDeletion(t *testing.T) {
	t.Parallel()
	slow := &slowBucket{opened: make(chan struct{}), goOn: make(chan struct{})}
	b := newBench(t, func(cfg *web.Config) {
		slow.Bucket = cfg.Bucket
		cfg.Bucket = slow
	})
	d, _, body := b.database("groveauth")
	old := b.copyOf(d, body, time.Now().AddDate(0, -3, 0), func(c *backup.Copy) { c.Kind = backup.Manual })
	p := b.program(b.token(store.Viewer, true))
	path := "/download/" + old.Date.String() + "/groveauth?backup=" + old.ID
	for _, variant := range []string{"", "&for=d1"} {
		got := make(chan response, 1)
		go func() { got <- p.get(path + variant) }()
		<-slow.opened
		if _, err := b.store.DropCopy(t.Context(), old.ID, "old", time.Now()); !errors.Is(err, store.ErrReading) {
			t.Errorf("%q: deleted under its reader: %v", variant, err)
		}
		slow.goOn <- struct{}{}
		if res := <-got; res.status != 200 || len(res.body) == 0 {
			t.Errorf("%q: %d %s", variant, res.status, res.body)
		}
	}
	if _, err := b.store.DropCopy(t.Context(), old.ID, "old", time.Now()); err != nil {
		t.Fatal(err)
	}
	if res := p.get(path); res.status != 404 {
		t.Errorf("after it was deleted: %d %s", res.status, res.body)
	}
}
