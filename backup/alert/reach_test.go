package alert

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReach(t *testing.T) {
	t.Parallel()
	var methods []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		if strings.HasSuffix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	allow, err := ParseAllow("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSender(allow, "1.0", time.Now)
	if err := s.Reach(t.Context(), Webhook, srv.URL+"/gone"); err != nil || len(methods) > 0 {
		t.Errorf("a webhook's receiver is only connected to: %v, %v", err, methods)
	}
	if err := s.Reach(t.Context(), Discord, srv.URL+"/api/webhooks/1/a"); err != nil {
		t.Error(err)
	}
	if err := s.Reach(t.Context(), Discord, srv.URL+"/api/webhooks/1/gone"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a Discord webhook that was deleted: %v", err)
	}
	for _, m := range methods {
		if m != http.MethodGet {
			t.Errorf("%s was sent", m)
		}
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	if err := s.Reach(t.Context(), Webhook, secure.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody signed: %v", err)
	}
	if err := NewSender(Allow{}, "1.0", time.Now).Reach(t.Context(), Webhook, "https://127.0.0.1:1/x"); err == nil {
		t.Error("an inward address is reached")
	}
}
