package web_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// archived puts copies into the archive of the first one's week, and gives them
// as the catalogue has them then. Two dates have none.
func (b *bench) archived(copies ...backup.Copy) []backup.Copy {
	b.t.Helper()
	ctx := b.t.Context()
	plan := archive.Plan{Missing: []backup.ArchiveGap{
		{Date: copies[0].Date.AddDays(-1), DatabaseID: copies[0].DatabaseID, DatabaseName: copies[0].DatabaseName, Reason: "no copy was made"},
		{Date: copies[0].Date.AddDays(-2), DatabaseID: "00000000-0000-4000-8000-00000000beef", DatabaseName: "elsewhere", Reason: "no copy was made"},
	}}
	for _, c := range copies {
		full, err := b.store.Copy(ctx, c.ID)
		must(b.t, err)
		full.Manifest.SQLSize, full.Manifest.SQLSHA256, full.Manifest.Date, full.Manifest.CopyID = full.Size, full.SHA256, c.Date, c.ID
		full.Archived.Name = c.Date.String() + "/" + object.Slug(c.DatabaseName, c.DatabaseID, true) + ".sql"
		plan.Copies = append(plan.Copies, full)
	}
	w := object.WeekOf(copies[0].Date.Time())
	m, _, err := archive.Make(ctx, b.bucket, archive.Request{Week: w, Plan: plan})
	must(b.t, err)
	parts := map[string]backup.Archived{}
	for _, f := range m.Members {
		parts[f.CopyID] = backup.Archived{Week: m.Week, Name: f.Name, Offset: f.Offset, Length: f.Length}
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	must(b.t, b.store.RecordArchive(ctx, backup.Archive{
		Week: m.Week, Key: m.Key, Size: m.Size, SHA256: m.SHA256, From: m.From, To: m.To, Members: len(m.Members), Missing: m.Missing, CreatedAt: now, VerifiedAt: now,
	}, parts))
	out := make([]backup.Copy, len(copies))
	for i, c := range copies {
		out[i], err = b.store.Copy(ctx, c.ID)
		must(b.t, err)
	}
	return out
}

// alone takes copies' own objects away.
func (b *bench) alone(copies ...backup.Copy) {
	b.t.Helper()
	for _, c := range copies {
		must(b.t, b.store.MoveToArchive(b.t.Context(), c.ID))
		must(b.t, b.bucket.Delete(b.t.Context(), c.Key))
	}
}

type archiveJSON struct {
	Week    string
	Members []struct {
		ID, Name, Location, Database string
		ArchivedIn                   string `json:"archived_in"`
		Length                       int64
	}
	Missing     []backup.ArchiveGap
	DownloadURL string `json:"download_url"`
	NextCursor  string `json:"next_cursor"`
}

func TestArchivePage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	_, other, _ := b.database(`x"><script>alert(1)</script>`)
	both := b.archived(c, other)
	b.alone(both[1])
	week := both[0].Archived.Week
	p := b.program(b.token(store.Viewer, true))
	var got archiveJSON
	p.get("/archives/"+week).json(t, &got)
	if len(got.Members) != 2 || len(got.Missing) != 2 || got.Week != week || got.Members[0].Location != "object" || got.Members[1].Location != "archive" || got.Members[0].ArchivedIn != week || got.Members[0].Length == 0 {
		t.Fatalf("%+v", got)
	}
	var first archiveJSON
	p.get("/archives/"+week+"?limit=1").json(t, &first)
	if len(first.Members) != 1 || first.NextCursor == "" {
		t.Errorf("one at a time: %+v", first)
	}
	for _, path := range []string{"/archives/2020-W01", "/archives/x", "/archives/" + week + "x", "/archives/%00", "/archives/..%2f", "/archives/2020-W01/download"} {
		if res := p.get(path); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	// What people see, with and without the right to have it.
	b.user("vera", store.Viewer, false)
	b.user("dora", store.Viewer, true)
	for name, loads := range map[string]bool{"vera": false, "dora": true} {
		page := b.signedIn(name).get("/archives/" + week)
		for _, want := range []string{"Archive " + week, "groveauth", "no copy was made", got.Members[0].Name[:10], "verified", "here alone"} {
			if !strings.Contains(page.body, want) {
				t.Errorf("%s does not see %q", name, want)
			}
		}
		if strings.Contains(page.body, "<script>alert") {
			t.Error("a name is not escaped")
		}
		if strings.Contains(page.body, `/download"`) != loads || strings.Contains(page.body, `href="/download/`) != loads {
			t.Errorf("%s: the buttons are wrong", name)
		}
		if list := b.signedIn(name).get("/list"); !strings.Contains(list.body, `href="/archives/`+week+`"`) {
			t.Errorf("%s: the list does not lead to the archive", name)
		}
	}
	// A token of one database sees its own members alone, and not the whole.
	mine := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{d.ID} }))
	res := mine.get("/archives/" + week)
	res.json(t, &got)
	if len(got.Members) != 1 || len(got.Missing) != 1 || strings.Contains(res.body, other.DatabaseID) || strings.Contains(res.body, "elsewhere") {
		t.Errorf("a token of one database sees %s", res.body)
	}
	if res := mine.get("/archives/" + week + "/download"); res.status != http.StatusNotFound {
		t.Errorf("a token of one database gets the whole archive: %d", res.status)
	}
	nobodys := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{"00000000-0000-4000-8000-00000000dead"} }))
	if res := nobodys.get("/archives/" + week); res.status != http.StatusNotFound {
		t.Errorf("a token of none: %d", res.status)
	}
	must(t, b.store.MarkArchiveDeleted(t.Context(), week, time.Now()))
	if res := p.get("/archives/" + week); res.status != http.StatusNotFound {
		t.Errorf("a deleted archive: %d", res.status)
	}
}

// TestDownloadOutOfArchive: a date that only an archive holds is listed,
// downloaded whole and by range, as a table and for D1, as if it were there.
func TestDownloadOutOfArchive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, c, body := b.database("groveauth")
	p := b.program(b.token(store.Viewer, true))
	path := "/download/" + c.Date.String() + "/groveauth"
	before := map[string]string{}
	for _, q := range []string{"", "?for=d1", "?table=users"} {
		before[q] = p.get(path + q).body
	}
	b.alone(b.archived(c)...)
	for q, want := range before {
		if res := p.get(path + q); res.status != 200 || res.body != want || res.body == "" {
			t.Errorf("%q: %d, %d bytes of %d", q, res.status, len(res.body), len(want))
		}
	}
	if res := p.get(path); res.header.Get("Etag") != `"`+c.SHA256+`"` || !bytes.Equal([]byte(res.body), body) {
		t.Errorf("%v", res.header)
	}
	res := p.get(path, "Range", "bytes=5000-5999")
	if res.status != http.StatusPartialContent || res.body != string(body[5000:6000]) || res.header.Get("Content-Range") != fmt.Sprintf("bytes 5000-5999/%d", len(body)) {
		t.Errorf("a range: %d %v", res.status, res.header)
	}
	for _, kind := range []string{"", "?kind=weekly", "?kind=daily"} {
		var list struct {
			Backups []struct {
				ID, Kind, Location string
				Available          bool
				ArchivedIn         string `json:"archived_in"`
			}
		}
		p.get("/list"+kind).json(t, &list)
		if len(list.Backups) != 1 || list.Backups[0].ID != c.ID || list.Backups[0].Location != "archive" || !list.Backups[0].Available || list.Backups[0].ArchivedIn == "" || list.Backups[0].Kind != "daily" {
			t.Errorf("/list%s: %+v", kind, list)
		}
	}
}

func TestDownloadArchive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, c, _ := b.database("groveauth")
	c = b.archived(c)[0]
	a, err := b.store.Archive(t.Context(), c.Archived.Week)
	must(t, err)
	p := b.program(b.token(store.Viewer, true))
	path := "/archives/" + a.Week + "/download"
	res := p.get(path)
	if res.status != 200 || int64(len(res.body)) != a.Size || res.header.Get("Etag") != `"`+a.SHA256+`"` || res.header.Get("Content-Type") != "application/gzip" ||
		res.header.Get("Content-Disposition") != "attachment; filename="+a.Week+".tar.gz" {
		t.Fatalf("%d, %d bytes, %v", res.status, len(res.body), res.header)
	}
	if part := p.get(path, "Range", "bytes=10-19"); part.status != 206 || part.body != res.body[10:20] {
		t.Errorf("a range: %d", part.status)
	}
	if same := p.get(path, "If-None-Match", `"`+a.SHA256+`"`); same.status != 304 {
		t.Errorf("the same: %d", same.status)
	}
	if !contains(b.audited(), "token test viewer|download|archive "+a.Week+", "+a.Key+"|sent") {
		t.Errorf("not on record: %q", b.audited())
	}
	// Damaged in the bucket: the last of it is held back.
	text := []byte(res.body)
	text[len(text)/2] ^= 1
	must(t, b.bucket.Replace(t.Context(), a.Key, text, ""))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.http.URL+path, nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+p.token)
	cut, err := http.DefaultClient.Do(req)
	if err != nil {
		return // cut before the first byte
	}
	defer cut.Body.Close()
	if got, err := io.ReadAll(cut.Body); err == nil || int64(len(got)) >= a.Size {
		t.Errorf("a damaged archive was sent whole: %d bytes, %v", len(got), err)
	}
}
