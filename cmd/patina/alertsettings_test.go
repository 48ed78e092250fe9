package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/store"
)

func TestAlertSettings(t *testing.T) {
	t.Parallel()
	bad := env{
		"PATINA_SECRET_PREVIOUS": canary, "PATINA_SUMMARY_AT": "25:00", "PATINA_HEARTBEAT_URL": "http://127.0.0.1/" + canary, "DISCORD_WEBHOOK_URL": "https://hooks.example/" + canary,
		"PATINA_WEBHOOK_URL": "gopher://" + canary, "PATINA_WEBHOOK_ALLOW": "http://x", "PATINA_METRICS_TOKEN": "short",
	}
	var config *configError
	if err := loadConfig(bad.lookup, "").Validate(); !errors.As(err, &config) {
		t.Fatalf("got %v", err)
	}
	for name := range bad {
		has(t, config.Error(), name)
	}
	if strings.Contains(config.Error(), canary) {
		t.Errorf("an address is shown:\n%s", config)
	}
	good := env{
		"PATINA_SUMMARY_AT": "07:05", "PATINA_HEARTBEAT_URL": "http://monitor.internal/x", "PATINA_WEBHOOK_ALLOW": "monitor.internal, 10.0.0.0/8",
		"DISCORD_WEBHOOK_URL": "https://discord.com/api/webhooks/1/x", "PATINA_WEBHOOK_URL": "http://10.1.2.3/x", "PATINA_METRICS_TOKEN": "0123456789abcdef",
	}
	cfg := loadConfig(good.lookup, "")
	if err := cfg.Validate(); err != nil || cfg.Alerts.SummaryAt != "5 7 * * *" {
		t.Errorf("%v, %q", err, cfg.Alerts.SummaryAt)
	}
	if cfg := loadConfig(env{}.lookup, ""); cfg.Alerts.SummaryAt != "0 8 * * *" {
		t.Errorf("%q", cfg.Alerts.SummaryAt)
	}
}

// heard is a real receiver of webhooks and pings.
type heard struct {
	url string
	mu  sync.Mutex
	got []string // path and event
	new chan struct{}
}

func listen(t *testing.T) *heard {
	t.Helper()
	h := &heard{new: make(chan struct{}, 1000)}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m struct {
			Event  string
			Embeds []struct{ Title string }
		}
		_ = json.Unmarshal(body, &m)
		if len(m.Embeds) > 0 {
			m.Event = m.Embeds[0].Title
		}
		h.mu.Lock()
		h.got = append(h.got, strings.TrimSpace(r.URL.Path+" "+m.Event))
		h.mu.Unlock()
		h.new <- struct{}{}
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// await waits until something was heard.
func (h *heard) await(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		h.mu.Lock()
		all := strings.Join(h.got, "\n")
		h.mu.Unlock()
		if strings.Contains(all, want) {
			return
		}
		select {
		case <-h.new:
		case <-deadline:
			t.Fatalf("never heard %q, but\n%s", want, all)
		}
	}
}

// The channels that the environment names are made once, told of successes
// too, follow the environment's address, and stay deleted.
func TestServeMakesChannels(t *testing.T) {
	t.Parallel()
	e, _ := groveEnv(t)
	h := listen(t)
	e["PATINA_WEBHOOK_ALLOW"] = "127.0.0.1"
	e["PATINA_WEBHOOK_URL"] = h.url + "/hook-" + canary
	e["DISCORD_WEBHOOK_URL"] = h.url + "/api/webhooks/" + canary
	e["PATINA_HEARTBEAT_URL"] = h.url + "/beat-" + canary
	r := begin(t, e, "serve", "--embedded", "--log", "json")
	r.await("dashboard started")
	patina(t, e, "databases", "sync").want(t, exitDone)
	patina(t, e, "backup", "--all", "--wait").want(t, exitDone)
	h.await(t, "/hook-"+canary+" job.succeeded")
	h.await(t, "/api/webhooks/"+canary+" A backup succeeded")
	if code := r.ended(); code != exitDone {
		t.Errorf("exit code %d after a stop:\n%s", code, r.text)
	}
	if strings.Contains(r.text.String(), canary) {
		t.Errorf("the log shows an address:\n%s", r.text)
	}
	s, err := store.Open(t.Context(), e["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.AlertConfigs(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "Discord" || list[1].Name != "Webhook" || !list[0].NotifySuccess || !list[1].NotifySuccess {
		t.Fatalf("%+v %v", list, err)
	}
	if err := s.DeleteAlertConfig(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	e["PATINA_WEBHOOK_URL"] = h.url + "/elsewhere"
	again := begin(t, e, "serve", "--embedded", "--log", "json")
	again.await("dashboard started")
	patina(t, e, "backup", "groveauth", "--wait").want(t, exitDone)
	h.await(t, "/elsewhere job.succeeded")
	again.ended()
	if list, err = s.AlertConfigs(t.Context()); err != nil || len(list) != 1 || list[0].Origin != "PATINA_WEBHOOK_URL" {
		t.Errorf("%+v %v", list, err)
	}
}
