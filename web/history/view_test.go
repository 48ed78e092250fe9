package history

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

var now = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time {
	t := now.Add(-d)
	return &t
}

func TestView(t *testing.T) {
	t.Parallel()
	operator := ui.Who{Operator: true, Downloader: true}
	running := backup.Job{ID: "j1", Kind: backup.JobBackup, Trigger: backup.TriggerNightly, Status: backup.JobRunning, Date: backup.DateOf(now), StartedAt: at(90 * time.Second), Totals: backup.Totals{Databases: 3, Succeeded: 1, Failed: 1}}
	results := []backup.Result{
		{DatabaseName: "a", DatabaseID: "ia", Status: backup.ResultSuccess, Rows: 1204, Size: 2048, Tables: 7, CopyID: "c1", Date: running.Date, Duration: 412 * time.Millisecond, Consistency: backup.Snapshot},
		{DatabaseName: "b", DatabaseID: "ib", Status: backup.ResultRunning, StartedAt: at(5 * time.Second), Attempt: 2, Progress: backup.Progress{Table: "users", Rows: 10, Bytes: 99}},
		{DatabaseName: "c\n", DatabaseID: "ic", Status: backup.ResultFailed, Error: "no\r\nway", Next: "Try later."},
	}
	m := view(part{Job: running, Results: results, All: 3, First: true}, now, operator)
	if m.Title != "Nightly backup of 2026-11-24" || !m.Open || !m.CanCancel || m.CanRetry || m.Done != 2 || m.Of != 3 {
		t.Errorf("%+v", m)
	}
	a, b, c := m.Rows[0], m.Rows[1], m.Rows[2]
	if a.Rows != "1,204" || a.Took != "412 ms" || a.Label != "snapshot" || a.DownloadHref != "/download/2026-11-24/a?backup=c1" {
		t.Errorf("success: %+v", a)
	}
	if b.Rows != "10" || b.Label != "reading users, attempt 2" || b.Took != "5.0 s" || b.DownloadHref != "" {
		t.Errorf("running: %+v", b)
	}
	if strings.ContainsAny(c.Error+c.Name, "\r\n") || c.Next != "Try later." || c.Href != "/databases/ic" {
		t.Errorf("failed: %+v", c)
	}
	if m := view(part{Job: running, Results: results, All: 3, First: true}, now, ui.Who{}); m.CanCancel || m.Rows[0].DownloadHref != "" {
		t.Error("a viewer may cancel or download")
	}
	running.CancelRequestedAt = at(0)
	if m := view(part{Job: running, Results: results, All: 3, First: true}, now, operator); m.CanCancel || !m.Cancelling {
		t.Error("a job can be cancelled twice")
	}
	ended := running
	ended.Status, ended.CompletedAt, ended.Totals = backup.JobPartial, at(0), backup.Totals{Databases: 3, Succeeded: 2, Failed: 1}
	if m := view(part{Job: ended, Results: results, All: 3, First: true}, now, operator); m.CanCancel || !m.CanRetry || m.Cancelling || m.Open || m.Failed != 1 {
		t.Errorf("ended: %+v", m)
	}
}

func TestViewList(t *testing.T) {
	t.Parallel()
	q := url.Values{"status": {"failed"}, "cursor": {"old"}}
	m := viewList([]backup.Job{{ID: "j1", Kind: backup.JobBackup, Trigger: backup.TriggerAPI, Status: backup.JobFailed, CreatedAt: now, RequestedBy: "token ci"}}, q, "a/b+c", now)
	if m.First || m.Unfiltered || m.NextHref != "/jobs?cursor=a%2Fb%2Bc&status=failed" || len(m.Rows) != 1 || m.Rows[0].By != "token ci" {
		t.Errorf("%+v", m)
	}
	if m := viewList(nil, url.Values{}, "", now); !m.First || !m.Unfiltered || m.NextHref != "" {
		t.Errorf("%+v", m)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{`{"database":"a"}`: "a", `{"database":["a","b"]}`: "a b", `{"database":"all"}`: "all"} {
		got, err := names("application/json; charset=utf-8", []byte(body))
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q %v", body, got, err)
		}
	}
	got, err := names("application/x-www-form-urlencoded", []byte("database=a&database=b"))
	if err != nil || strings.Join(got, " ") != "a b" {
		t.Errorf("form: %q %v", got, err)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	var s Streams
	var release []func()
	for range maxStreams {
		r, ok := s.take("one")
		if !ok {
			t.Fatal("refused too early")
		}
		release = append(release, r)
	}
	if _, ok := s.take("one"); ok {
		t.Error("no cap for one session")
	}
	if _, ok := s.take("two"); !ok {
		t.Error("another session was refused")
	}
	release[0]()
	if _, ok := s.take("one"); !ok {
		t.Error("a stream that ended still counts")
	}
	for i := s.Open(); i < maxStreamsTotal; i++ {
		if _, ok := s.take(strings.Repeat("x", i)); !ok {
			t.Fatalf("refused at %d", i)
		}
	}
	if _, ok := s.take("late"); ok {
		t.Error("no cap for all together")
	}
}
