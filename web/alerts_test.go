package web_test

import (
	"bytes"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

// deliver records a delivery of the bench's channel, and how it ended.
func (b *bench) deliver(status store.DeliveryStatus, tries int, answer string) string {
	b.t.Helper()
	now := time.Now().UTC()
	d := store.Delivery{ID: uuid.Must(uuid.NewV7()).String(), ChannelID: channelID, Class: "problem", Event: backup.EventStale, Title: "<b>groveauth</b> is stale", CreatedAt: now}
	must(b.t, b.store.InsertDelivery(b.t.Context(), d, []byte("{}"), nil))
	for range tries {
		begun, _, err := b.store.BeginTry(b.t.Context(), d.ID)
		must(b.t, err)
		begun.NextAt = &now
		if begun.Tries == tries {
			begun.Status = status
		}
		must(b.t, b.store.EndTry(b.t.Context(), begun, store.Try{N: begun.Tries, At: now, Status: 500, Request: "POST https://hooks.example/…", Answer: answer, Error: "the receiver answered 500"}))
	}
	return d.ID
}

// All that an admin does about alerts, with forms alone.
func TestAlertsPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, false)
	root := b.signedIn("root")
	d, _, _ := b.database("groveauth")
	const secretURL = "https://hooks.example/services/canary-path?key=canary-key"
	made := root.form("/alerts", url.Values{"kind": {"webhook"}, "name": {"GroveMonitor"}, "url": {secretURL}, "failure": {"true"}, "success": {"true"}})
	secret := regexp.MustCompile(`whsec_[A-Za-z0-9+/=]{44}`).FindString(strings.ReplaceAll(made.body, "&#43;", "+"))
	if made.status != http.StatusOK || secret == "" || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("add: %d %.300s", made.status, made.body)
	}
	list, err := b.store.AlertConfigs(t.Context())
	must(t, err)
	var ch store.AlertConfig
	for _, c := range list {
		if c.Name == "GroveMonitor" {
			ch = c
		}
	}
	if !ch.Enabled || !ch.NotifySuccess || !ch.NotifyFailure || ch.NotifySummary || ch.Address != "https://hooks.example/…" || bytes.Contains(ch.URLSealed, []byte("canary")) {
		t.Errorf("%+v", ch)
	}
	path := "/alerts/" + ch.ID
	for _, p := range []string{"/alerts", path} {
		for _, accept := range []string{chrome, "application/json"} {
			if res := root.get(p, "Accept", accept); res.status != 200 || strings.Contains(res.body, "canary") || strings.Contains(res.body, "whsec_") || !strings.Contains(res.body, "GroveMonitor") {
				t.Errorf("%s: %d %.200s", p, res.status, res.body)
			}
		}
	}
	// A new secret signs beside the old one, until that is forgotten.
	if res := root.form(path+"/secret", nil); res.status != 200 || !strings.Contains(res.body, "whsec_") || !strings.Contains(res.body, "Forget the one before") {
		t.Errorf("rotate: %d", res.status)
	}
	c, err := b.store.AlertConfig(t.Context(), ch.ID)
	must(t, err)
	sealer, err := alert.NewSealer(bytes.Repeat([]byte("s"), 32))
	must(t, err)
	if old, _, err := sealer.Open(c.PreviousSealed, alert.Purpose(c.ID, "previous")); err != nil || old != secret {
		t.Errorf("the secret of before is %q, %v, want %q", old, err, secret)
	}
	if res := root.form(path+"/secret", url.Values{"forget": {"true"}}); res.status != http.StatusSeeOther {
		t.Errorf("forget: %d", res.status)
	}
	// Change, test, delete.
	if res := root.form(path, url.Values{"name": {"Monitor"}, "summary": {"true"}}); res.status != http.StatusSeeOther {
		t.Errorf("change: %d %.200s", res.status, res.body)
	}
	c, err = b.store.AlertConfig(t.Context(), ch.ID)
	must(t, err)
	if c.Name != "Monitor" || c.Enabled || c.NotifyFailure || !c.NotifySummary || c.PreviousSealed != nil || !bytes.Equal(c.URLSealed, ch.URLSealed) {
		t.Errorf("%+v", c)
	}
	if res := root.form(path+"/test", nil); res.status != http.StatusSeeOther || res.header.Get("Location") != path {
		t.Errorf("test: %d", res.status)
	}
	if got := b.asked.all(); len(got) != 1 || got[0].Action != backup.ActionTest || got[0].ChannelID != ch.ID || got[0].Actor != "root" {
		t.Errorf("asked for %+v", got)
	}
	if res := root.form(path+"/delete", nil); res.status != http.StatusSeeOther || root.get(path).status != 404 {
		t.Errorf("delete: %d", res.status)
	}
	// Thresholds and mutes.
	root.form("/alerts/thresholds", url.Values{"long_minutes": {"30"}, "size_percent": {"0"}})
	root.form("/alerts/thresholds", url.Values{"database": {"groveauth"}, "rows_percent": {"80"}})
	root.form("/alerts/mutes", url.Values{"database": {"groveauth"}, "hours": {"4"}, "reason": {"<i>migration</i>"}})
	all, single, err := b.store.Thresholds(t.Context())
	must(t, err)
	if *all.LongSeconds != 1800 || *all.SizePercent != 0 || all.RowsPercent != nil || *single[d.ID].RowsPercent != 80 || single[d.ID].SizePercent != nil {
		t.Errorf("%+v %+v", all, single)
	}
	mutes, err := b.store.Mutes(t.Context(), time.Now())
	must(t, err)
	if len(mutes) != 1 || mutes[0].DatabaseID != d.ID || mutes[0].CreatedBy != "root" || time.Until(mutes[0].Until) < 3*time.Hour {
		t.Fatalf("%+v", mutes)
	}
	if res := root.get("/alerts"); !strings.Contains(res.body, "rows: 80%") || !strings.Contains(res.body, "&lt;i&gt;migration") || !strings.Contains(res.body, `value="30"`) {
		t.Errorf("the page shows neither: %d", res.status)
	}
	root.form("/alerts/mutes/"+mutes[0].ID+"/end", nil)
	if mutes, err = b.store.Mutes(t.Context(), time.Now()); err != nil || len(mutes) != 0 {
		t.Errorf("%+v %v", mutes, err)
	}
	log := b.audited()
	for _, want := range []string{"root|alert channel|channel GroveMonitor|added|webhook https://hooks.example/…", "root|alert channel|channel Monitor|deleted", "root|alert test|channel Monitor", "root|mute|groveauth|until", "root|alert thresholds|groveauth"} {
		if !contains(log, want) {
			t.Errorf("not on record: %s", want)
		}
	}
	if strings.Contains(strings.Join(log, "")+b.log.String(), "canary") {
		t.Error("the address is in a log")
	}
}

func TestAlertsRefuse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.program(b.token(store.Admin, false))
	for body, want := range map[string]int{
		`{"kind":"webhook","name":"a","url":"https://127.0.0.1/x"}`:         400,
		`{"kind":"webhook","name":"a","url":"https://[::ffff:10.0.0.1]/x"}`: 400,
		`{"kind":"webhook","name":"a","url":"http://hooks.example/x"}`:      400,
		`{"kind":"webhook","name":"a","url":"https://metadata.localhost/"}`: 400,
		`{"kind":"discord","name":"a","url":"https://hooks.example/x"}`:     400,
		`{"kind":"pager","name":"a","url":"https://hooks.example/x"}`:       400,
		`{"kind":"webhook","name":"a\nb","url":"https://hooks.example/x"}`:  400,
		`{"kind":"webhook","name":"","url":"https://hooks.example/x"}`:      400,
		`{"kind":"webhook","name":"team","url":"https://hooks.example/x"}`:  409,
		`{"kind":"webhook","name":{"x":1},"url":"https://hooks.example/x"}`: 400,
		`[]`: 400,
		`{"kind":"discord","name":"d","url":"https://discord.com/api/webhooks/1/x"}`: 200,
		`{"kind":"webhook","name":"w","url":"https://hooks.example/x"}`:              200,
	} {
		if res := p.post("/alerts", body); res.status != want {
			t.Errorf("%s: %d %.200s", body, res.status, res.body)
		}
	}
	for path, body := range map[string]string{
		"/alerts/mutes": `{"hours":0}`, "/alerts/thresholds": `{"size_percent":-1}`, "/alerts/" + channelID: `{"url":"https://localhost/"}`,
	} {
		if res := p.post(path, body); res.status != 400 {
			t.Errorf("%s %s: %d", path, body, res.status)
		}
	}
	for _, path := range []string{"/alerts/x", "/alerts/" + uuid.NewString()} {
		if res := p.get(path); res.status != 404 {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	var made struct {
		Secret           string
		Failure, Success bool
	}
	p.post("/alerts", `{"kind":"webhook","name":"w2","url":"https://hooks.example/x"}`).json(t, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") || !made.Failure || made.Success {
		t.Errorf("%+v", made)
	}
}

// What did not get through stands on every page of those who can act, until
// somebody has seen it.
func TestUndeliveredBanner(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, false)
	b.user("olga", store.Operator, false)
	b.user("vera", store.Viewer, false)
	root, olga, vera := b.signedIn("root"), b.signedIn("olga"), b.signedIn("vera")
	b.database("groveauth")
	shown := func(c *client, want string) {
		t.Helper()
		for _, path := range []string{"/", "/databases", "/databases/groveauth", "/jobs", "/list", "/nothing"} {
			if res := c.get(path); want != "" && path != "/nothing" && !strings.Contains(res.body, want) || want == "" && strings.Contains(res.body, "undelivered") {
				t.Errorf("%s shows something other than %q", path, want)
			}
		}
	}
	b.deliver(store.DeliveryDone, 1, "ok")
	b.deliver(store.DeliveryPending, 2, "")
	shown(olga, "")
	b.deliver(store.DeliveryDead, 9, `<script>alert(1)</script>`)
	b.deliver(store.DeliveryPending, 5, "")
	shown(olga, "2 alerts are undelivered.")
	shown(root, `<a href="/alerts">See which.</a>`)
	shown(vera, "")
	if res := root.get("/alerts"); !strings.Contains(res.body, "&lt;b&gt;groveauth") || strings.Contains(res.body, "<b>groveauth") {
		t.Errorf("the page: %d", res.status)
	}
	if res := root.get("/alerts/" + channelID); !strings.Contains(res.body, "&lt;script&gt;alert(1)") || strings.Contains(res.body, "<script>alert") || !strings.Contains(res.body, "9 tries") {
		t.Errorf("the channel's page: %d", res.status)
	}
	_, err := b.store.AddEvent(t.Context(), backup.Event{ID: uuid.NewString(), At: time.Now(), Kind: backup.EventStale, Message: "m"})
	must(t, err)
	list, err := b.store.OpenEvents(t.Context(), 1)
	must(t, err)
	must(t, b.store.DecideEvent(t.Context(), list[0].ID, store.EventNobody, time.Now()))
	shown(olga, "1 problem was told to nobody.")
	if res := root.form("/alerts/seen", nil); res.status != http.StatusSeeOther {
		t.Errorf("seen: %d", res.status)
	}
	shown(olga, "1 alert is undelivered.") // the one that is still being tried
	if res := olga.get("/"); strings.Contains(res.body, "told to nobody") {
		t.Error("what was seen is still shown")
	}
}

// Metrics are for whoever has their token, and for nobody else.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const token = "metrics-token-canary"
	b := newBench(t, func(c *web.Config) { c.MetricsToken = token })
	b.works()
	d, _, _ := b.database("groveauth")
	b.job(backup.JobFailed, backup.ResultFailed, d)
	b.deliver(store.DeliveryDead, 1, "")
	res := b.program(token).get("/metrics")
	if res.status != 200 || !strings.HasPrefix(res.header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %.300s", res.status, res.body)
	}
	for _, want := range []string{
		`patina_database_copy_rows{database="groveauth"} 2000`, `patina_database_last_backup_failed{database="groveauth"} 1`, "patina_workers 1", "patina_queue_leader 1",
		`patina_deliveries{status="dead"} 1`, `patina_backups_total{status="failed"} 1`, `patina_build_info{version="test"} 1`,
	} {
		if !strings.Contains(res.body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	for _, bad := range []*client{b.program(""), b.program("metrics-token-wrong"), b.program(b.token(store.Admin, true)), b.browser()} {
		if res := bad.get("/metrics"); res.status != http.StatusUnauthorized || strings.Contains(res.body, "patina_") {
			t.Errorf("%d %.100s", res.status, res.body)
		}
	}
	if strings.Contains(b.log.String(), token) {
		t.Error("the token is in the log")
	}
	if res := newBench(t).program(token).get("/metrics"); res.status != http.StatusNotFound {
		t.Errorf("without a token: %d", res.status)
	}
}
