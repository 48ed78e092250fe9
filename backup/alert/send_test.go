package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

var loopback = Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// verify is what docs/webhooks.md tells receivers to do.
func verify(h http.Header, body []byte, secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	for s := range strings.FieldsSeq(h.Get("webhook-signature")) {
		version, encoded, _ := strings.Cut(s, ",")
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil && version == "v1" && hmac.Equal(sum, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// The example of the Standard Webhooks specification.
func TestSignatureOfTheStandard(t *testing.T) {
	t.Parallel()
	got, err := Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s %v", got, err)
	}
	if _, err := Sign("m", noon, nil, "whsec_%%%"); !errors.Is(err, backup.ErrInvalid) {
		t.Error(err)
	}
	if a, b := NewSigningSecret(), NewSigningSecret(); a == b || len(a) != len("whsec_")+44 {
		t.Errorf("%s %s", a, b)
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	current, before := NewSigningSecret(), NewSigningSecret()
	body := Compose(Facts{ID: "msg-1", At: noon, Events: []backup.Event{event(backup.EventStale)}}).Body()
	var got *http.Request
	var gotBody []byte
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, gotBody = r, nil
		gotBody, _ = io.ReadAll(r.Body)
		answer(w, r)
	}))
	defer srv.Close()
	s := NewSender(loopback, "1.0", func() time.Time { return noon })
	target := Target{Webhook, srv.URL + "/hooks/canary-path-secret?key=canary-query", []string{current, before}}
	out := s.Send(t.Context(), target, "msg-1", body)
	if !out.Delivered || out.Status != 204 || string(gotBody) != string(body) || got.Header.Get("webhook-id") != "msg-1" || got.Header.Get("User-Agent") != "Patina/1.0" {
		t.Fatalf("%+v", out)
	}
	if !verify(got.Header, gotBody, current) || !verify(got.Header, gotBody, before) || verify(got.Header, gotBody, NewSigningSecret()) || verify(got.Header, append(gotBody, ' '), current) {
		t.Error("the signature does not prove what it should")
	}
	for _, secret := range []string{"canary", current, before, got.Header.Get("webhook-signature")[3:20]} {
		if strings.Contains(out.Request+out.Answer+out.Error, secret) {
			t.Errorf("the log shows %s:\n%s\n%s", secret, out.Request, out.Answer)
		}
	}
	// What the receiver answers is heard, bounded, and shows nothing secret.
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   func(Outcome) bool
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary-path-secret broke", 500) }, func(o Outcome) bool {
			return !o.Delivered && o.Status == 500 && strings.Contains(o.Answer, "… broke")
		}},
		"429": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "17"); w.WriteHeader(429) }, func(o Outcome) bool {
			return o.RetryAfter == 17*time.Second
		}},
		"429 with a date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", noon.Add(90*time.Second).Format(http.TimeFormat))
			w.WriteHeader(429)
		}, func(o Outcome) bool { return o.RetryAfter == 90*time.Second }},
		"429 of Discord": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(429)
			_, _ = io.WriteString(w, `{"message":"You are being rate limited.","retry_after":0.65,"global":false}`)
		}, func(o Outcome) bool { return o.RetryAfter == 650*time.Millisecond }},
		"429 alone": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, func(o Outcome) bool { return o.RetryAfter == 0 && !o.Delivered }},
		"410":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, func(o Outcome) bool { return o.Gone && !o.Delivered }},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, func(o Outcome) bool { return o.Delivered && len(o.Answer) <= logMost+64 }},
		"inwards": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		}, func(o Outcome) bool {
			return !o.Delivered && o.Status == 302 && strings.Contains(o.Error, "redirects are not followed")
		}},
	} {
		answer = c.answer
		if out := s.Send(t.Context(), target, "m", body); !c.want(out) || strings.Contains(out.Request+out.Answer+out.Error, "canary") {
			t.Errorf("%s: %+v", name, out)
		}
	}
	// Discord gets no signature, and is asked to say whether it took the message.
	answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	if out := s.Send(t.Context(), Target{Kind: Discord, URL: srv.URL + "/api/webhooks/1/x"}, "m", body); !out.Delivered || got.URL.Query().Get("wait") != "true" || got.Header.Get("webhook-id") != "" {
		t.Errorf("%+v %v", out, got.Header)
	}
}

// A receiver that never answers is given up.
func TestSendGivesUp(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := NewSender(loopback, "", time.Now)
	s.client.Timeout = 100 * time.Millisecond
	if out := s.Send(t.Context(), Target{Webhook, "http://" + ln.Addr().String(), []string{NewSigningSecret()}}, "m", nil); out.Delivered || out.Status != 0 || out.Error != "the receiver did not answer in time" {
		t.Errorf("%+v", out)
	}
	if NewSender(Allow{}, "", time.Now).client.Timeout != 10*time.Second {
		t.Error("the limit is not 10 s")
	}
	_ = ln.Close()
	if out := s.Send(t.Context(), Target{Webhook, "http://" + ln.Addr().String(), []string{NewSigningSecret()}}, "m", nil); out.Error != "the receiver refuses connections" {
		t.Errorf("%+v", out)
	}
}

func TestInwardAddresses(t *testing.T) {
	t.Parallel()
	for _, a := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "224.0.0.1",
		"255.255.255.255", "198.18.0.1", "2002:7f00:1::", "2001:0:1::", "::7f00:1", "168.63.129.16", "192.0.0.192",
	} {
		if !Inward(netip.MustParseAddr(a)) {
			t.Errorf("%s may be reached", a)
		}
	}
	for _, a := range []string{"1.1.1.1", "162.159.128.233", "2606:4700::1111", "64:ff9b::101:101", "172.32.0.1", "11.0.0.1"} {
		if Inward(netip.MustParseAddr(a)) {
			t.Errorf("%s may not be reached", a)
		}
	}
}

// What a name resolves to counts at the moment of the dial: a name that was
// harmless when it was entered, and now leads to this host, is refused.
func TestDialRefusesInward(t *testing.T) {
	t.Parallel()
	touched := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { touched = true }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"} {
		tr := transport(Allow{})
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+host+":"+port, nil)
		if err != nil {
			continue
		}
		if res, err := tr.RoundTrip(req); err == nil {
			_ = res.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	if touched {
		t.Fatal("the receiver was reached")
	}
	// localhost stands for any name that resolves inwards: it is refused at the
	// dial, and reached where an operator allowed the name.
	tr := transport(Allow{})
	_, err := tr.DialContext(t.Context(), "tcp", "localhost:"+port)
	if !errors.Is(err, errInward) {
		t.Errorf("%v", err)
	}
	tr = transport(Allow{Hosts: []string{"localhost"}})
	c, err := tr.DialContext(t.Context(), "tcp", "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if tr.Proxy != nil {
		t.Error("a proxy would dial unguarded")
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	allow, err := ParseAllow("grove.internal, 10.0.0.0/8 ::1")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSender(allow, "", time.Now)
	for address, ok := range map[string]bool{
		"https://hooks.example/x": true, "https://1.1.1.1/x": true, "http://grove.internal/x": true, "http://GROVE.internal./x": true, "http://10.2.3.4:99/": true, "http://[::1]/": true,
		"http://hooks.example/x": false, "ftp://x/y": false, "https:///x": false, "": false, "https://a:b@hooks.example/": false, "https://127.0.0.1/": false, "https://localhost/": false,
		"https://x.localhost/": false, "https://169.254.169.254/latest": false, "https://[::ffff:7f00:1]/": false, "http://192.168.1.1/": false, "https://x/" + strings.Repeat("y", 3000): false,
	} {
		if err := s.CheckURL(Webhook, address); (err == nil) != ok || err != nil && !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if s.CheckURL(Discord, "https://discord.com/api/webhooks/1/x") != nil || s.CheckURL(Discord, "https://discord.com/channels/1") == nil {
		t.Error("Discord's addresses")
	}
	for _, bad := range []string{"http://x", "a/b/c", "*"} {
		if _, err := ParseAllow(bad); err == nil {
			t.Errorf("%q may be allowed", bad)
		}
	}
	if got := Masked("https://discord.com/api/webhooks/1/canary?x=canary"); got != "https://discord.com/…" {
		t.Error(got)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	var paths []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.Path)
		if r.URL.Path == "/bad" {
			w.WriteHeader(503)
		}
	}))
	defer srv.Close()
	s := NewSender(loopback, "", time.Now)
	if err := s.Ping(t.Context(), srv.URL+"/ok"); err != nil {
		t.Error(err)
	}
	if err := s.Ping(t.Context(), srv.URL+"/bad"); !errors.Is(err, backup.ErrUnavailable) {
		t.Error(err)
	}
	if err := NewSender(Allow{}, "", time.Now).Ping(context.Background(), srv.URL); err == nil {
		t.Error("a ping reached this host")
	}
	if strings.Join(paths, ",") != "GET /ok,GET /bad" {
		t.Error(paths)
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	first, second := []byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 32))
	old, err := NewSealer(first)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.Seal("https://canary", "channel 1 url")
	if err != nil || strings.Contains(string(sealed), "canary") {
		t.Fatalf("%q %v", sealed, err)
	}
	if again, _ := old.Seal("https://canary", "channel 1 url"); string(again) == string(sealed) {
		t.Error("the same text is sealed the same twice")
	}
	if got, stale, err := old.Open(sealed, "channel 1 url"); got != "https://canary" || stale || err != nil {
		t.Errorf("%q %v %v", got, stale, err)
	}
	both, _ := NewSealer(second, first)
	if got, stale, err := both.Open(sealed, "channel 1 url"); got != "https://canary" || !stale || err != nil {
		t.Errorf("during rotation: %q %v %v", got, stale, err)
	}
	fresh, _ := NewSealer(second, nil)
	if _, _, err := fresh.Open(sealed, "channel 1 url"); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("another secret: %v", err)
	}
	if _, _, err := both.Open(sealed, "channel 2 url"); !errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("another channel: %v", err)
	}
	for i := range sealed {
		bad := append([]byte(nil), sealed...)
		bad[i] ^= 1
		if got, _, err := both.Open(bad, "channel 1 url"); err == nil {
			t.Fatalf("byte %d changed, and it opens to %q", i, got)
		}
		if _, _, err := both.Open(sealed[:i], "channel 1 url"); err == nil {
			t.Fatalf("cut at %d, and it opens", i)
		}
	}
	none, _ := NewSealer()
	if _, err := none.Seal("x", "y"); !errors.Is(err, backup.ErrUnavailable) || none.CanSeal() {
		t.Error(err)
	}
	if _, err := NewSealer([]byte("short")); err == nil {
		t.Error("a short secret seals")
	}
}
