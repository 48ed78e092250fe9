package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// The kinds of channel. Another is a name here, a body in bodyOf and its
// headers in Send.
const (
	Webhook = "webhook"
	Discord = "discord"
)

const (
	sendTimeout = 10 * time.Second
	answerMost  = 64 << 10 // bytes read of an answer
	logMost     = 2 << 10  // bytes kept of one
)

// Target is where a message goes.
type Target struct {
	Kind    string
	URL     string
	Secrets []string // for Webhook; the first is the current one
}

// Body gives the message as a kind of channel takes it.
func Body(kind string, m Message) []byte {
	if kind == Discord {
		return m.Discord()
	}
	return m.Body()
}

// Outcome is what came of one try.
type Outcome struct {
	Delivered  bool
	Gone       bool // 410: the receiver wants no more
	Status     int  // 0 where nothing answered
	RetryAfter time.Duration
	Took       time.Duration
	Request    string // for people, without secrets and without the body
	Answer     string // likewise, shortened
	Error      string // why it was not delivered, in words
}

// Sender carries messages. It is safe for concurrent use.
type Sender struct {
	client *http.Client
	allow  Allow
	agent  string
	clock  func() time.Time
}

// NewSender makes a sender that reaches public addresses, and those allowed.
func NewSender(allow Allow, version string, now func() time.Time) *Sender {
	return &Sender{
		allow: allow, agent: "Patina/" + orSo(version, "dev"), clock: now,
		client: &http.Client{
			Transport: transport(allow), Timeout: sendTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// CheckURL tells whether an address may be a channel's: https, or http to a
// host that was allowed. Errors: ErrInvalid.
func (s *Sender) CheckURL(kind, address string) error {
	bad := func(what, next string) error {
		return &backup.Error{Kind: backup.ErrInvalid, Message: "The address " + what + ".", Next: next}
	}
	u, err := url.Parse(address)
	switch {
	case len(address) > 2000:
		return bad("has more than 2,000 characters", "")
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return bad("cannot be read", "Write it whole: https://host/path")
	case u.User != nil:
		return bad("holds a name or password before its host", "Put what the receiver needs into the path or the query.")
	case u.Scheme == "http" && !s.allow.host(u.Hostname()):
		return bad("is not https", "Use https, or name the host in PATINA_WEBHOOK_ALLOW.")
	case kind == Discord && !strings.Contains(u.Path, "/webhooks/"):
		return bad("is no Discord webhook", "Copy it from the channel's settings in Discord: Integrations, Webhooks.")
	}
	host := u.Hostname()
	if hostIsInward(host) && !s.allow.host(host) {
		return bad("leads to a private network or to this host", "An operator may name that host in PATINA_WEBHOOK_ALLOW.")
	}
	return nil
}

// Send tries once to carry a body to its target. It always gives an outcome.
func (s *Sender) Send(ctx context.Context, t Target, id string, body []byte) Outcome {
	began := s.clock()
	req, err := s.request(ctx, t, id, began, body)
	if err != nil {
		return Outcome{Error: backupWords(err)}
	}
	out := Outcome{Request: describe(req, len(body))}
	res, err := s.client.Do(req)
	if err != nil {
		out.Took, out.Error = s.clock().Sub(began), dialWords(err)
		return out
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerMost))
	out.Took, out.Status = s.clock().Sub(began), res.StatusCode
	out.Answer = mask(shorten(res.Status+"\n"+strings.ToValidUTF8(string(answer), "\uFFFD"), logMost), t)
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		out.Delivered = true // whatever became of the rest of the answer
	case res.StatusCode == http.StatusGone:
		out.Gone, out.Error = true, "the receiver says that it is gone for good (410)"
	case res.StatusCode >= 300 && res.StatusCode < 400:
		out.Error = fmt.Sprintf("the receiver redirects (%d): redirects are not followed; enter the new address", res.StatusCode)
	default:
		out.Error = fmt.Sprintf("the receiver answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))
		out.RetryAfter = retryAfter(res.Header.Get("Retry-After"), answer, s.clock())
	}
	if err != nil && !out.Delivered {
		out.Error += "; its answer was cut off"
	}
	return out
}

func (s *Sender) request(ctx context.Context, t Target, id string, at time.Time, body []byte) (*http.Request, error) {
	address := t.URL
	if t.Kind == Discord { // it then says whether it took the message
		u, err := url.Parse(address)
		if err != nil {
			return nil, backup.Errorf(backup.ErrInvalid, "the address cannot be read")
		}
		q := u.Query()
		q.Set("wait", "true")
		u.RawQuery = q.Encode()
		address = u.String()
	}
	if err := s.CheckURL(t.Kind, address); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, backup.Errorf(backup.ErrInvalid, "the address cannot be read")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.agent)
	if t.Kind == Webhook {
		if err := sign(req.Header, id, at, body, t.Secrets); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// Ping asks for an address with GET: a heartbeat, or whether something is there.
func (s *Sender) Ping(ctx context.Context, address string) error {
	if err := s.CheckURL("", address); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return backup.Errorf(backup.ErrInvalid, "the address cannot be read")
	}
	req.Header.Set("User-Agent", s.agent)
	res, err := s.client.Do(req)
	if err != nil {
		return backup.Errorf(backup.ErrUnavailable, "%s", dialWords(err))
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, answerMost))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return backup.Errorf(backup.ErrUnavailable, "the receiver answered %d", res.StatusCode)
	}
	return nil
}

// Reach tells whether a channel's receiver is there, without telling it
// anything: it connects to the host, and asks Discord whether it knows the
// webhook, which writes nothing into a channel.
func (s *Sender) Reach(ctx context.Context, kind, address string) error {
	if err := s.CheckURL(kind, address); err != nil {
		return err
	}
	if kind == Discord {
		return s.Ping(ctx, address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return backup.Errorf(backup.ErrInvalid, "the address cannot be read")
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	port := orSo(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	conn, err := s.client.Transport.(*http.Transport).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return backup.Errorf(backup.ErrUnavailable, "%s", dialWords(err))
	}
	defer conn.Close()
	if u.Scheme == "http" {
		return nil
	}
	if err := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}).HandshakeContext(ctx); err != nil {
		return backup.Errorf(backup.ErrUnavailable, "%s", dialWords(err))
	}
	return nil
}

// Masked shows an address without what must stay secret: its path and query.
func Masked(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "…"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// describe words a request for the log.
func describe(req *http.Request, size int) string {
	lines := []string{req.Method + " " + Masked(req.URL.String())}
	var names []string
	for name := range req.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := req.Header.Get(name)
		if name == "Webhook-Signature" {
			value = "v1,…"
		}
		lines = append(lines, name+": "+value)
	}
	return strings.Join(append(lines, fmt.Sprintf("(%s)", bytesWord(int64(size)))), "\n")
}

// mask takes the target's secrets out of an answer that repeats them.
func mask(text string, t Target) string {
	hide := append([]string{t.URL}, t.Secrets...)
	if u, err := url.Parse(t.URL); err == nil {
		hide = append(hide, strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")...)
		for _, vs := range u.Query() {
			hide = append(hide, vs...)
		}
	}
	sort.Slice(hide, func(i, j int) bool { return len(hide[i]) > len(hide[j]) })
	for _, h := range hide {
		if len(h) >= 8 {
			text = strings.ReplaceAll(text, h, "…")
		}
	}
	return text
}

// dialWords says why nothing answered, without the address.
func dialWords(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, errInward):
		return "refused: the name leads to a private network or to this host; an operator may allow it by PATINA_WEBHOOK_ALLOW"
	case errors.As(err, &dns):
		return "the receiver's name is not known to DNS"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the receiver did not answer in time"
	case errors.Is(err, context.Canceled):
		return "the try was cut short"
	case strings.Contains(err.Error(), "connection refused"):
		return "the receiver refuses connections"
	case strings.Contains(err.Error(), "certificate"), strings.Contains(err.Error(), "tls:"):
		return "the receiver's certificate is not to be trusted"
	}
	return "the receiver cut the connection off"
}

func backupWords(err error) string {
	if next := backup.Next(err); next != "" {
		return err.Error() + " " + next
	}
	return err.Error()
}
