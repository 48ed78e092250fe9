package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

const (
	webhookURL = "https://hooks.example.org/services/" + canary
	password   = "correct horse battery " + canary
)

// disaster is an installation that loses its Postgres.
type disaster struct {
	t      *testing.T
	e      env
	flags  []string
	bucket object.Bucket
	base   string // of the running dashboard
}

// newDisaster has six databases whose nightly backup was due an hour ago.
func newDisaster(t *testing.T, s3 bool) *disaster {
	t.Helper()
	e, _ := groveEnv(t)
	d := &disaster{t: t, e: e, flags: []string{"serve", "--log", "json"}}
	at, cfg := "file://"+t.TempDir(), object.Config{}
	if s3 {
		at, cfg = objecttest.VersityGW(t)
		e["R2_ACCESS_KEY_ID"], e["R2_SECRET_ACCESS_KEY"] = cfg.R2AccessKeyID, cfg.R2SecretAccessKey
	} else {
		d.flags = append(d.flags, "--embedded")
	}
	e["PATINA_BUCKET"] = at
	var err error
	d.bucket, err = object.Open(t.Context(), at, cfg)
	ok(t, err)
	due := time.Now().UTC().Add(-time.Hour)
	e["PATINA_NIGHTLY"] = fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour())
	patina(t, e, "migrate").want(t, exitDone)
	patina(t, e, "databases", "sync").want(t, exitDone)
	_, err = d.store().PutSchedule(t.Context(), store.Schedule{ID: "nightly", Kind: "backup", Spec: e["PATINA_NIGHTLY"], CreatedAt: due.Add(-time.Hour)})
	ok(t, err)
	return d
}

func (d *disaster) store() *store.Store {
	d.t.Helper()
	s, err := store.Open(d.t.Context(), d.e["DATABASE_URL"])
	ok(d.t, err)
	d.t.Cleanup(s.Close)
	return s
}

func (d *disaster) serve() *running {
	d.t.Helper()
	r := begin(d.t, d.e, d.flags...)
	addr := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(r.await("dashboard started"))
	if addr == nil {
		d.t.Fatal("no address")
	}
	d.base = "http://" + addr[1]
	return r
}

// get asks for JSON with the bootstrap token.
func (d *disaster) get(path string) map[string]any {
	d.t.Helper()
	var v map[string]any
	if code := ask(d.t, "GET", d.base+path, bootstrapToken, "", &v); code != http.StatusOK {
		d.t.Fatalf("GET %s: %d %v", path, code, v)
	}
	return v
}

// until polls for something that the program does by itself.
func (d *disaster) until(what string, cond func() bool) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			d.t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

// copies gives /list as it is.
func (d *disaster) copies() []any {
	list, _ := d.get("/list")["backups"].([]any)
	return list
}

// seen is what a person or a program sees of the catalogue.
func (d *disaster) seen() string {
	d.t.Helper()
	all := map[string]any{"list": d.get("/list"), "databases": d.get("/databases")}
	jobs, _ := d.get("/jobs")["jobs"].([]any)
	for _, j := range jobs {
		job, _ := d.get("/jobs/"+j.(map[string]any)["id"].(string)), 0
		for _, soft := range []string{"created_at", "started_at", "completed_at", "duration_ms"} { // to the moment, the manifests do not know
			delete(job, soft)
		}
		results, _ := job["databases"].([]any)
		for _, r := range results {
			delete(r.(map[string]any), "duration_ms")
			delete(r.(map[string]any), "progress")
		}
		all["job "+job["id"].(string)] = job
	}
	text, err := json.MarshalIndent(all, "", " ")
	ok(d.t, err)
	return string(text)
}

// downloads fetches every copy and compares its hash.
func (d *disaster) downloads() {
	d.t.Helper()
	for _, c := range d.copies() {
		c := c.(map[string]any)
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, d.base+c["download_url"].(string), nil)
		ok(d.t, err)
		req.Header.Set("Authorization", "Bearer "+bootstrapToken)
		res, err := http.DefaultClient.Do(req)
		ok(d.t, err)
		h := sha256.New()
		_, err = io.Copy(h, res.Body)
		_ = res.Body.Close()
		if sum := hex.EncodeToString(h.Sum(nil)); err != nil || res.StatusCode != http.StatusOK || sum != c["sha256"] {
			d.t.Errorf("%s: %d, %s, %v", c["key"], res.StatusCode, sum, err)
		}
	}
}

// signsIn tells whether ada can.
func (d *disaster) signsIn() bool {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	ok(d.t, err)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.base+"/sign-in", strings.NewReader(url.Values{"name": {"ada"}, "password": {password}}.Encode()))
	ok(d.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := browser.Do(req)
	ok(d.t, err)
	_ = res.Body.Close()
	return res.StatusCode == http.StatusSeeOther && len(res.Cookies()) > 0
}

// life makes a pin, a person, a token, a channel and a paused database, and
// gives the token.
func (d *disaster) life() string {
	d.t.Helper()
	t, ctx, s := d.t, d.t.Context(), d.store()
	first := d.copies()[0].(map[string]any)
	if code := ask(t, "POST", d.base+"/backups/"+first["id"].(string)+"/pin", bootstrapToken, `{"pinned":true}`, nil); code != http.StatusOK {
		t.Fatalf("pin: %d", code)
	}
	patinaIn(t, d.e, password+"\n", "user", "add", "ada", "--role", "admin", "--downloader", "--password-stdin").want(t, exitDone)
	token := strings.TrimSpace(patina(t, d.e, "token", "add", "ci", "--role", "viewer").want(t, exitDone).out)
	key, err := decodeKey(d.e["PATINA_SECRET"])
	ok(t, err)
	sealer, err := alert.NewSealer(key)
	ok(t, err)
	sealed, err := sealer.Seal(webhookURL, "test")
	ok(t, err)
	_, err = s.InsertAlertConfig(ctx, store.AlertConfig{Kind: "webhook", Name: "ops", URLSealed: sealed, CreatedAt: time.Now()})
	ok(t, err)
	db, err := s.DatabaseByName(ctx, "scout-db")
	ok(t, err)
	paused, why := true, "moves house"
	_, err = s.ChangeDatabase(ctx, db.ID, store.DatabaseChange{Paused: &paused, Description: &why})
	ok(t, err)
	return token
}

// Postgres is lost with everything in it, and comes back from the bucket.
func TestRebuildAfterADisaster(t *testing.T) {
	t.Parallel()
	for _, s3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("s3=%v", s3), func(t *testing.T) {
			t.Parallel()
			d := newDisaster(t, s3)
			r := d.serve()
			today := object.MetaKey(backup.DateOf(time.Now()))
			d.until("the night's settings are in the bucket", func() bool {
				_, err := d.bucket.Stat(t.Context(), today)
				return err == nil
			})
			token := d.life()
			before := d.seen()
			if n := strings.Count(before, `"proof": "proven"`); n < 6 || !strings.Contains(before, `"pinned": true`) {
				t.Fatalf("%d copies are proven:\n%s", n, before)
			}
			has(t, patina(t, d.e, "meta").want(t, exitDone).out, today)
			meta := string(objecttest.Get(t, d.bucket, today, 0, -1))
			for _, secret := range []string{bootstrapToken, token, password, webhookURL, canary, d.e["PATINA_SECRET"]} {
				if strings.Contains(meta, secret) {
					t.Errorf("%s holds the secret %q", today, secret)
				}
			}
			has(t, meta, `"name": "ada"`, "$argon2id$", `"name": "ci"`, `"name": "ops"`, "moves house")
			refused := patina(t, d.e, "rebuild").want(t, exitDone) // nothing differs
			has(t, refused.err, "says all of this already")
			if code := r.ended(); code != exitDone {
				t.Fatalf("exit code %d", code)
			}

			old := d.store()
			d.e["DATABASE_URL"] = storetest.EmptyURL(t)
			dry := patina(t, env{"PATINA_BUCKET": d.e["PATINA_BUCKET"], "R2_ACCESS_KEY_ID": d.e["R2_ACCESS_KEY_ID"], "R2_SECRET_ACCESS_KEY": d.e["R2_SECRET_ACCESS_KEY"]}, "rebuild", "--dry-run", "--deep").want(t, exitDone)
			has(t, dry.out, "6 backups of 6 databases", "groveauth", "settings    "+today)
			made := patina(t, d.e, "rebuild").want(t, exitDone)
			has(t, made.err, "6 backups, 6 of them proven as before, 0 to be proven anew", "1 job", "--confirm-retention")

			r = d.serve()
			if after := d.seen(); after != before {
				t.Errorf("the catalogue was\n%s\nand is now\n%s", before, after)
			}
			d.downloads()
			if !d.signsIn() {
				t.Error("ada cannot sign in any more")
			}
			if code := ask(t, "GET", d.base+"/status", token, "", nil); code != http.StatusOK {
				t.Errorf("the token gets %d", code)
			}
			a, err := old.AlertConfigs(t.Context())
			ok(t, err)
			b, err := d.store().AlertConfigs(t.Context())
			ok(t, err)
			if len(a) != 1 || len(b) != 1 || string(a[0].URLSealed) != string(b[0].URLSealed) {
				t.Errorf("channels: %+v, %+v", a, b)
			}
			has(t, patina(t, d.e, "rebuild").want(t, exitDone).err, "says all of this already")
			if d.get("/")["retention_frozen"] == nil {
				t.Error("retention is not frozen")
			}
			has(t, patina(t, d.e, "rebuild", "--confirm-retention").want(t, exitDone).err, "Retention goes on")
			has(t, patina(t, d.e, "rebuild", "--confirm-retention").want(t, exitDone).err, "not frozen")
			if d.get("/")["retention_frozen"] != nil {
				t.Error("retention is still frozen")
			}
			// The night's slot is done and stays done; what is asked for runs.
			job := struct{ Status string }{}
			decode(t, patina(t, d.e, "backup", "groveauth", "--wait", "--json").want(t, exitDone).out, &job)
			if job.Status != "completed" || len(d.copies()) != 7 {
				t.Errorf("a backup afterwards: %+v, %d copies", job, len(d.copies()))
			}
			doctor := func() string { return patina(t, d.e, append([]string{"doctor"}, d.flags[3:]...)...).out }
			has(t, doctor(), "they are kept in the bucket", "unbroken, and holds what 0 night(s)") // the log is a new one
			patina(t, d.e, "meta").want(t, exitDone)
			has(t, doctor(), "unbroken, and holds what 1 night(s)")
			_, err = d.store().Pool().Exec(t.Context(), "DELETE FROM audit_log WHERE id = (SELECT max(id) FROM audit_log)")
			ok(t, err)
			has(t, doctor(), "the audit log was tampered with")
			if code := r.ended(); code != exitDone {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// What is wrong with a bucket is named, as what it is, with no Postgres at all.
func TestRebuildDryRunNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, s3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("s3=%v", s3), func(t *testing.T) {
			t.Parallel()
			d := newDisaster(t, s3)
			r := d.serve()
			d.until("the night's settings are in the bucket", func() bool {
				_, err := d.bucket.Stat(t.Context(), object.MetaKey(backup.DateOf(time.Now())))
				return err == nil
			})
			dir := ""
			for _, c := range d.copies() {
				dir, _, _ = strings.Cut(c.(map[string]any)["key"].(string), "groveauth")
				break
			}
			dir = dir[:len("daily/2026-11-23/")]
			if code := r.ended(); code != exitDone {
				t.Fatalf("exit code %d", code)
			}
			bare := env{"PATINA_BUCKET": d.e["PATINA_BUCKET"], "R2_ACCESS_KEY_ID": d.e["R2_ACCESS_KEY_ID"], "R2_SECRET_ACCESS_KEY": d.e["R2_SECRET_ACCESS_KEY"]}
			dryRun := func(code int, args ...string) (out rebuildJSON) {
				t.Helper()
				decode(t, patina(t, bare, append([]string{"rebuild", "--dry-run", "--json"}, args...)...).want(t, code).out, &out)
				return out
			}
			if out := dryRun(exitDone); len(out.Copies) != 6 || !out.DryRun || out.Made != nil || len(out.Damaged)+len(out.Orphaned)+len(out.Unknown) != 0 || out.Meta.Key == "" {
				t.Fatalf("%+v", out)
			}
			put := func(key string, body []byte) { ok(t, d.bucket.Replace(t.Context(), key, body, "text/plain")) }
			get := func(key string) []byte { return objecttest.Get(t, d.bucket, key, 0, -1) }

			ok(t, d.bucket.Delete(t.Context(), dir+"groveauth.sql.json")) // an object without its manifest
			flipped := strings.Replace(string(get(dir+"scout-db.sql.json")), `"rows": `, `"rows": 1`, 1)
			put(dir+"scout-db.sql.json", []byte(flipped))                         // a manifest that was changed
			put("holiday.jpg", []byte("not ours"))                                // somebody else's
			put(dir+"grove-engine-db.sql", get(dir+"autumnsgrove-posts.sql"))     // an object swapped for another valid one
			ok(t, d.bucket.Delete(t.Context(), dir+"autumnsgrove-git-stats.sql")) // a manifest without its object
			put("meta/2099-01-01.json", []byte("{"))                              // settings that cannot be read
			for _, args := range [][]string{nil, {"--deep"}} {
				out := dryRun(exitCorrupt, args...)
				named := map[string]damageJSON{}
				for _, x := range out.Damaged {
					named[x.Key] = x
				}
				if x := named[dir+"scout-db.sql.json"]; !x.Mended || x.Reason == "" {
					t.Errorf("the changed manifest: %+v", out.Damaged)
				}
				if x := named[dir+"grove-engine-db.sql"]; x.Mended || !strings.Contains(x.Reason, "it is a dump of autumnsgrove-posts") || x.CopyID == "" {
					t.Errorf("the swapped object: %+v", out.Damaged)
				}
				if len(out.Damaged) != 2 || len(out.Copies) != 4 || len(out.Orphaned) != 1 || out.Orphaned[0].Key != dir+"autumnsgrove-git-stats.sql" ||
					len(out.Unknown) != 1 || out.Unknown[0].Key != "holiday.jpg" || len(out.Meta.Unread) != 0 || out.Meta.Key == "" {
					t.Errorf("%v: %+v", args, out)
				}
				for _, c := range out.Copies {
					if c.ManifestMade != (c.Database == "groveauth" || c.Database == "scout-db") {
						t.Errorf("%+v", c)
					}
				}
			}
			prose := patina(t, bare, "rebuild", "--dry-run").want(t, exitCorrupt)
			has(t, prose.out, "4 backups of 4 databases", "orphaned    "+dir+"autumnsgrove-git-stats.sql.json", "damaged     "+dir+"grove-engine-db.sql ",
				"damaged     "+dir+"scout-db.sql.json", "the dump itself is whole", "unknown     holiday.jpg", "manifest    "+dir+"groveauth.sql.json  made again")
			has(t, prose.err, "Nothing was changed", "2 things in the bucket")

			// For true: what is whole is taken, what is not is entered as damaged.
			d.e["DATABASE_URL"] = storetest.EmptyURL(t)
			made := patina(t, d.e, "rebuild").want(t, exitCorrupt)
			has(t, made.err, "The catalogue was made again: 4 backups", "1 backup entered as damaged", "2 manifests written")
			if string(get("holiday.jpg")) != "not ours" {
				t.Error("somebody else's object was touched")
			}
			if out := dryRun(exitCorrupt); len(out.Damaged) != 1 || len(out.Copies) != 4 {
				t.Errorf("after mending: %+v", out.Damaged)
			}
			has(t, patina(t, d.e, "rebuild").want(t, exitCorrupt).err, "says all of this already")

			put(dir+"stray.sql", []byte("-- not a dump\n"))
			d.store()
			ok(t, d.bucket.Delete(t.Context(), dir+"groveauth.sql"))
			has(t, patina(t, d.e, "rebuild").want(t, exitError).err, "holds copies already", "nothing was changed", "empty Postgres")
		})
	}
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		e := env{"PATINA_BUCKET": "file://" + t.TempDir(), "DATABASE_URL": storetest.EmptyURL(t)}
		has(t, patina(t, e, "rebuild", "--dry-run").want(t, exitDone).out, "0 backups", "settings    none")
		has(t, patina(t, e, "rebuild").want(t, exitError).err, "holds no backup")
		patina(t, e, "rebuild", "--confirm-retention", "--dry-run").want(t, exitUsage)
		patina(t, env{"PATINA_BUCKET": e["PATINA_BUCKET"]}, "rebuild").want(t, exitUsage)
	})
}
