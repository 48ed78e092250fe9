package jobs

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/docs"
	"github.com/AutumnsGrove/Patina/store"
)

func testSealer() *alert.Sealer {
	s, err := alert.NewSealer([]byte("a secret that every test's process has"))
	if err != nil {
		panic(err)
	}
	return s
}

// signingSecret signs what the tests' webhooks get.
const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a real HTTP server that takes messages.
type receiver struct {
	t      *testing.T
	url    string
	mu     sync.Mutex
	got    []received
	answer http.HandlerFunc // nil: 204
}

type received struct {
	path, id string
	at       time.Time
	header   http.Header
	body     []byte
	message  alert.Message
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{t: t, answer: answer}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		g := received{path: req.URL.Path, id: req.Header.Get("webhook-id"), at: time.Now(), header: req.Header, body: body}
		_ = json.Unmarshal(body, &g.message)
		r.mu.Lock()
		r.got = append(r.got, g)
		answer := r.answer
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, req)
	}))
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// messages gives what was received, each message once, as a receiver that
// drops what it has already keeps it.
func (r *receiver) messages() map[string]alert.Message {
	out := map[string]alert.Message{}
	for _, g := range r.all() {
		out[g.id] = g.message
	}
	return out
}

// channel makes a channel of a kind to an address that hears everything.
func (b *bench) channel(kind, address string, edit ...func(*store.AlertConfig)) store.AlertConfig {
	b.t.Helper()
	c := store.AlertConfig{
		ID: uuid.Must(uuid.NewV7()).String(), Kind: kind, Name: fmt.Sprintf("%s %d", kind, b.count("SELECT count(*) FROM alert_config")), Enabled: true,
		NotifySuccess: true, NotifyFailure: true, NotifySummary: true, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	var err error
	if c.URLSealed, err = testSealer().Seal(address, alert.Purpose(c.ID, "url")); err != nil {
		b.t.Fatal(err)
	}
	if kind == alert.Webhook {
		if c.SecretSealed, err = testSealer().Seal(signingSecret, alert.Purpose(c.ID, "secret")); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, e := range edit {
		e(&c)
	}
	if _, err := b.store.InsertAlertConfig(b.t.Context(), c); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) event(e backup.Event) {
	b.t.Helper()
	e.ID = newID()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if _, err := b.store.AddEvent(b.t.Context(), e); err != nil {
		b.t.Fatal(err)
	}
}

// events gives the kinds of event on record, oldest first.
func (b *bench) events() []string {
	b.t.Helper()
	list, err := b.store.EventsBetween(b.t.Context(), time.Time{}, time.Now().Add(time.Hour*24*365*10), 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, strings.TrimSpace(string(e.Kind)+" "+e.DatabaseName))
	}
	return out
}

// apart lets the messages before be so long ago that the next is not held up.
func (b *bench) apart() {
	b.exec("UPDATE deliveries SET created_at = created_at - interval '3 hours'")
}

func delivered(t *testing.T, b *bench, n int) {
	t.Helper()
	b.until(fmt.Sprintf("%d deliveries are done", n), func() bool {
		return b.count("SELECT count(*) FROM deliveries WHERE status = 'delivered'") >= n
	})
}

func verified(g received) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingSecret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", g.id, g.header.Get("webhook-timestamp"), g.body)
	return g.header.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// A receiver gets, verifies and validates the message of every event; Discord
// gets one too.
func TestEveryEventIsDelivered(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	hook, discord := newReceiver(t, nil), newReceiver(t, nil)
	b.channel(alert.Webhook, hook.url+"/hook")
	b.channel(alert.Discord, discord.url+"/api/webhooks/1/token")
	r := b.start(b.runner(nil, func(c *Config) { c.PublicURL = "https://patina.example" }))
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.WebhookSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	schema := compiler.MustCompile("s.json")
	kinds := []backup.EventKind{
		backup.EventJobFailed, backup.EventJobSucceeded, backup.EventJobLong, backup.EventSizeAnomaly, backup.EventRowsAnomaly, backup.EventSlotMissed,
		backup.EventWeeklySkipped, backup.EventRestoreFinished, backup.EventRestoreFailed, backup.EventStale, backup.EventRecovered, backup.EventProofFailed,
		backup.EventDrillFailed, backup.EventObjectDamaged, backup.EventDatabaseNew, backup.EventDatabaseGone, backup.EventDatabaseRenamed,
		backup.EventDeliveryFailing, backup.EventRetentionHeldBack, backup.EventSummary,
	}
	id := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID
	b.ended(id)
	delivered(t, b, 2) // that it succeeded
	for i, k := range kinds {
		b.apart()
		b.event(backup.Event{Kind: k, JobID: id, DatabaseID: uuidOf(1), DatabaseName: "db-a", Message: "What happened.", Next: "What to do."})
		delivered(t, b, 2*(i+2))
	}
	got := hook.all()
	if len(got) != len(kinds)+1 || len(discord.all()) != len(got) {
		t.Fatalf("%d messages for %d events, and %d for Discord", len(got), len(kinds)+1, len(discord.all()))
	}
	for i, g := range got {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(g.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", g.message.Event, err)
		}
		if !verified(g) || g.id != g.message.ID {
			t.Errorf("%s: the signature or the id is wrong: %v", g.message.Event, g.header)
		}
		if i > 0 && g.message.Event != kinds[i-1] {
			t.Errorf("message %d tells %s, want %s", i, g.message.Event, kinds[i-1])
		}
	}
	first := got[0].message
	if first.Event != backup.EventJobSucceeded || first.JobID != id || first.Status != "success" || first.JobStatus != backup.JobCompleted || first.Totals.Rows != 7 ||
		len(first.Databases) != 1 || first.Databases[0].Name != "db-a" || first.Databases[0].SizeBytes != 42 || first.URL != "https://patina.example/jobs/"+id {
		t.Errorf("%+v", first)
	}
	for _, g := range discord.all() {
		if !bytes.Contains(g.body, []byte(`"allowed_mentions":{"parse":[]}`)) || g.path != "/api/webhooks/1/token" {
			t.Errorf("%s %.200s", g.path, g.body)
		}
	}
	if n := b.count("SELECT count(*) FROM events WHERE outcome <> 'told'"); n != 0 {
		t.Errorf("%d events were not told", n)
	}
}

// Thirty failures at once are at most three messages, and all of them are told.
func TestStormBecomesFewMessages(t *testing.T) {
	b := newBench(t)
	hook := newReceiver(t, nil)
	b.channel(alert.Webhook, hook.url)
	b.start(b.runner(nil))
	for i := range 30 {
		b.event(backup.Event{Kind: backup.EventJobFailed, DatabaseName: fmt.Sprint("db ", i), Message: "It failed."})
	}
	told := func() int {
		n := 0
		for _, m := range hook.messages() {
			n += len(m.Events)
		}
		return n
	}
	delivered(t, b, 1)
	b.until("all are decided about", func() bool { return b.count("SELECT count(*) FROM events WHERE decided_at IS NULL") == 0 })
	for range 2 { // what was held back goes once it may
		b.exec("UPDATE deliveries SET created_at = created_at - interval '31 minutes'")
		b.until("nothing waits", func() bool {
			return b.count("SELECT count(*) FROM event_channels WHERE delivery_id IS NULL") == 0 && b.count("SELECT count(*) FROM deliveries WHERE status = 'pending'") == 0
		})
	}
	if n := len(hook.messages()); n > 3 || told() != 30 {
		t.Errorf("%d failures were told in %d messages", told(), n)
	}
}

// Whatever a receiver does, backups go on, and the message gets there once in
// the end, or it is seen that it did not.
func TestReceiversThatMisbehave(t *testing.T) {
	downTries := 0
	for waited := time.Duration(0); waited < time.Hour; waited += alert.Backoff(downTries, 0) {
		downTries++
	}
	nth := func(n int, bad, good http.HandlerFunc) http.HandlerFunc {
		var mu sync.Mutex
		tries := 0
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			tries++
			now := tries
			mu.Unlock()
			if now <= n {
				bad(w, r)
				return
			}
			good(w, r)
		}
	}
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	for name, c := range map[string]struct {
		answer    http.HandlerFunc
		delivered bool
		tries     int
		asked     time.Duration
	}{
		"down for an hour": {nth(downTries, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ok), true, downTries + 1, 0},
		"slow":             {nth(1, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ok), true, 2, 0},
		"429, 7 s":         {nth(1, status(429, "Retry-After", "7"), ok), true, 2, 7 * time.Second},
		"429 alone":        {nth(3, status(429), ok), true, 4, 0},
		"410":              {status(410), false, 1, 0},
		"inwards":          {status(302, "Location", "http://169.254.169.254/latest/meta-data/"), false, 9, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.register(backup.Normal)
			hook, other := newReceiver(t, c.answer), newReceiver(t, nil)
			channel := b.channel(alert.Webhook, hook.url)
			b.channel(alert.Webhook, other.url)
			var mu sync.Mutex
			var asked []time.Duration
			r := b.start(b.runner(nil, func(cfg *Config) {
				cfg.AlertBackoff = func(_ int, a time.Duration) time.Duration {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, a)
					return time.Millisecond
				}
			}))
			began := time.Now()
			id := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID
			if job := b.ended(id); job.Status != backup.JobCompleted {
				t.Fatalf("%+v", job)
			}
			if name == "slow" && time.Since(began) > 8*time.Second {
				t.Errorf("the backup took %v", time.Since(began))
			}
			if name == "inwards" {
				b.until("it has been tried often", func() bool {
					return b.count("SELECT coalesce(max(tries), 0) FROM deliveries WHERE channel_id = $1", channel.ID) >= c.tries
				})
				b.exec("UPDATE deliveries SET created_at = created_at - interval '25 hours'")
			}
			b.until("the delivery has ended", func() bool {
				return b.count("SELECT count(*) FROM deliveries WHERE channel_id = $1 AND class = 'success' AND status <> 'pending'", channel.ID) == 1
			})
			list, err := b.store.Deliveries(t.Context(), channel.ID, 10)
			if err != nil {
				t.Fatal(err)
			}
			d := list[len(list)-1]
			mu.Lock()
			defer mu.Unlock()
			if (d.Status == store.DeliveryDone) != c.delivered || d.Tries < c.tries || c.delivered && d.Tries != c.tries {
				t.Errorf("%+v", d)
			}
			if c.asked > 0 && !slices.Contains(asked, c.asked) {
				t.Errorf("the receiver asked for %v and got %v", c.asked, asked)
			}
			if n := len(hook.messages()); c.delivered && n != 1 {
				t.Errorf("%d messages arrived", n)
			}
			tries, err := b.store.Tries(t.Context(), []string{d.ID})
			if err != nil || len(tries[d.ID]) != d.Tries {
				t.Errorf("%d tries are on record, %v", len(tries[d.ID]), err)
			}
			undelivered, err := b.store.Undelivered(t.Context(), 3, 10)
			if err != nil || (len(undelivered) > 0) == c.delivered {
				t.Errorf("undelivered: %+v %v", undelivered, err)
			}
			if !c.delivered {
				b.until("the other channel is told", func() bool {
					for _, m := range other.messages() {
						if m.Event == backup.EventDeliveryFailing {
							return true
						}
					}
					return false
				})
			}
			ch, err := b.store.AlertConfig(t.Context(), channel.ID)
			if err != nil || ch.Enabled == (name == "410") {
				t.Errorf("the channel is %+v, %v", ch, err)
			}
		})
	}
}

// A process that is killed between a result and its alert, at any step, loses
// no alert; and a receiver that knows a message by its id has it once.
func TestKillBetweenResultAndAlert(t *testing.T) {
	for _, step := range []string{"before:finish", "after:finish", "before:tell", "after:tell", "delivered"} {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			b.register(backup.Critical)
			hook := newReceiver(t, nil)
			b.channel(alert.Webhook, hook.url)
			id := b.slotJob()
			killed := b.child(childConfig{KillAt: step})
			if sig := killed.dies(); sig != syscall.SIGKILL {
				t.Fatalf("the child ended by %v", sig)
			}
			before := len(hook.all())
			b.start(b.runner(nil))
			b.stored(id, 1)
			delivered(t, b, 1)
			got := hook.messages()
			if len(got) != 1 {
				t.Fatalf("%d messages: %+v", len(got), got)
			}
			for mid, m := range got {
				if m.Event != backup.EventJobSucceeded || m.JobID != id || len(m.Events) != 1 {
					t.Errorf("%s: %+v", mid, m)
				}
			}
			// Only a death after the answer, before its record, repeats a message.
			want := 1
			if step == "delivered" {
				want = 2
			}
			if n := len(hook.all()); n != want || step == "delivered" && before != 1 {
				t.Errorf("the message was carried %d times, %d before the kill", n, before)
			}
			if got := strings.Join(b.events(), ", "); got != "job.succeeded" {
				t.Errorf("events: %s", got)
			}
		})
	}
}

// A test goes out once, also to a disabled channel, and raises no banner.
func TestChannelTest(t *testing.T) {
	b := newBench(t)
	hook := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c := b.channel(alert.Webhook, hook.url, func(c *store.AlertConfig) { c.Enabled = false })
	r := b.start(b.runner(nil))
	b.request(r, backup.Request{Action: backup.ActionTest, ChannelID: c.ID, Actor: "ada"})
	b.until("the test has failed", func() bool { return b.count("SELECT count(*) FROM deliveries WHERE status = 'dead'") == 1 })
	if list := hook.all(); len(list) != 1 || list[0].message.Event != backup.EventTest || !strings.Contains(list[0].message.Message, "ada asked") {
		t.Errorf("%+v", list)
	}
	if list, err := b.store.Undelivered(t.Context(), 3, 10); err != nil || len(list) != 0 {
		t.Errorf("a test that failed is on every page: %+v %v", list, err)
	}
	if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionTest, ChannelID: newID()}); backup.Kind(err) != backup.ErrNotFound {
		t.Error(err)
	}
}

// Without a channel a problem is told to nobody, and that is known; a mute is
// somebody's wish.
func TestNobodyMutedUnwanted(t *testing.T) {
	b := newBench(t)
	r := b.runner(nil)
	outcome := func(e backup.Event, want store.Outcome) {
		t.Helper()
		b.event(e)
		if err := r.tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := b.store.Pool().QueryRow(t.Context(), "SELECT outcome FROM events ORDER BY id DESC LIMIT 1").Scan(&got); err != nil || got != string(want) {
			t.Errorf("%s: %q, want %q, %v", e.Kind, got, want, err)
		}
	}
	outcome(backup.Event{Kind: backup.EventStale, Message: "m"}, store.EventNobody)
	outcome(backup.Event{Kind: backup.EventJobSucceeded, Message: "m"}, store.EventUnwanted)
	if n, err := b.store.Untold(t.Context()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	c := b.channel(alert.Webhook, "http://127.0.0.1:1", func(c *store.AlertConfig) { c.NotifySuccess = false })
	outcome(backup.Event{Kind: backup.EventStale, Message: "m"}, store.EventTold)
	outcome(backup.Event{Kind: backup.EventJobSucceeded, Message: "m"}, store.EventUnwanted)
	outcome(backup.Event{Kind: backup.EventDeliveryFailing, Once: c.ID + " today", Message: "m"}, store.EventUnwanted) // not by itself
	if _, err := b.store.InsertMute(t.Context(), store.Mute{DatabaseID: uuidOf(1), Until: time.Now().Add(time.Hour), CreatedBy: "ada", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	outcome(backup.Event{Kind: backup.EventStale, DatabaseID: uuidOf(1), Message: "m"}, store.EventMuted)
	outcome(backup.Event{Kind: backup.EventStale, DatabaseID: uuidOf(2), Message: "m"}, store.EventTold)
	if err := b.store.SeeUndelivered(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := b.store.Untold(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A channel that was sealed with the secret of before is sealed anew at start.
func TestSecretRotation(t *testing.T) {
	b := newBench(t)
	hook := newReceiver(t, nil)
	c := b.channel(alert.Webhook, hook.url)
	fresh := []byte("the secret that comes after that one")
	both, err := alert.NewSealer(fresh, []byte("a secret that every test's process has"))
	if err != nil {
		t.Fatal(err)
	}
	r := b.start(b.runner(nil, func(cfg *Config) { cfg.Sealer = both }))
	b.request(r, backup.Request{Action: backup.ActionTest, ChannelID: c.ID, Actor: "ada"})
	delivered(t, b, 1)
	only, err := alert.NewSealer(fresh)
	if err != nil {
		t.Fatal(err)
	}
	now, err := b.store.AlertConfig(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := only.Open(now.URLSealed, alert.Purpose(c.ID, "url")); got != hook.url || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if got, _, err := only.Open(now.SecretSealed, alert.Purpose(c.ID, "secret")); got != signingSecret || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if bytes.Contains(c.URLSealed, []byte("127.0.0.1")) || bytes.Contains(now.URLSealed, []byte("127.0.0.1")) {
		t.Error("the address is to be read in Postgres")
	}
}

// A scheduled backup is pinged at its start and its end; what is asked for by
// hand is not.
func TestHeartbeat(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	beat := newReceiver(t, nil)
	hook := func(c *Config) { c.Heartbeat = beat.url + "/uuid" }
	fail := false
	good := b.out.export
	var mu sync.Mutex
	r := b.start(b.runner(func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			return nil, backup.Errorf(backup.ErrDenied, "no")
		}
		return good(ctx, db, req)
	}, hook))
	paths := func() string {
		var out []string
		for _, g := range beat.all() {
			out = append(out, g.path)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	if _, _, err := r.StartSlot(t.Context(), NightlySchedule, today); err != nil {
		t.Fatal(err)
	}
	b.until("the start and the success were pinged", func() bool { return paths() == "/uuid /uuid/start" })
	mu.Lock()
	fail = true
	mu.Unlock()
	b.ended(b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID)
	if _, _, err := r.StartSlot(t.Context(), NightlySchedule, today.AddDate(4, 0, 0)); err != nil {
		t.Fatal(err)
	}
	b.until("the failure was pinged", func() bool { return paths() == "/uuid /uuid/fail /uuid/start /uuid/start" })
}
