// Package d1 talks to Cloudflare D1 over its HTTP API: raw queries, bookmarks,
// imports, and the list of an account's databases.
//
// It owns the wire: shapes, limits of rate, retries, and errors with their
// kinds. A read is tried again only while none of its rows was handed over; a
// write never is, since an answer may be lost after the commit. It is the only
// importer of cloudflare-go, and it never logs. Source of the shapes:
// https://developers.cloudflare.com/api/resources/d1/.
package d1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	api "github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/option"

	"github.com/AutumnsGrove/Patina/backup"
)

// Config says which account to talk to, and how.
type Config struct {
	AccountID  string
	Token      string
	BaseURL    string // "" is Cloudflare's own; otherwise up to, without, /accounts
	HTTPClient *http.Client
	Limiter    Limiter                                    // nil: a bucket of this process, at 80% of the API's limit
	Clock      func() time.Time                           // nil: time.Now
	Idle       time.Duration                              // no byte for so long ends a request: 60 s
	Pause      func(context.Context, time.Duration) error // waits between tries; nil: a timer
}

// Client talks to one account. It is safe for concurrent use.
type Client struct {
	cfg      Config
	service  *api.DatabaseService
	requests atomic.Int64
	retries  atomic.Int64
}

// New checks the configuration and makes a client; it sends nothing.
func New(cfg Config) (*Client, error) {
	var problems []error
	if cfg.AccountID == "" {
		problems = append(problems, backup.Errorf(backup.ErrInvalid, "the Cloudflare account id is missing"))
	}
	if cfg.Token == "" {
		problems = append(problems, backup.Errorf(backup.ErrInvalid, "the Cloudflare API token is missing"))
	}
	if cfg.BaseURL != "" {
		if u, err := url.Parse(cfg.BaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			problems = append(problems, backup.Errorf(backup.ErrInvalid, "the Cloudflare base URL is not an http or https URL"))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	own := http.Client{Transport: transport()}
	if cfg.HTTPClient != nil {
		own = *cfg.HTTPClient
	}
	// A redirect would send a write a second time, and somewhere else.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.HTTPClient = &own
	if cfg.Limiter == nil {
		cfg.Limiter = NewLocalLimiter(DefaultRate, DefaultBurst)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Minute
	}
	if cfg.Pause == nil {
		cfg.Pause = backup.Pause
	}
	c := &Client{cfg: cfg}
	opts := []option.RequestOption{
		option.WithAPIToken(cfg.Token), option.WithHTTPClient(cfg.HTTPClient),
		option.WithMaxRetries(0), option.WithMiddleware(c.send),
	}
	if cfg.BaseURL != "" {
		opts = append(opts, option.WithBaseURL(cfg.BaseURL))
	} else {
		opts = append(opts, option.WithEnvironmentProduction())
	}
	c.service = api.NewDatabaseService(opts...)
	return c, nil
}

// transport keeps a few connections to the one host.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.ReadBufferSize = 64 << 10
	return t
}

// Requests gives how many requests were sent, retries among them.
func (c *Client) Requests() int64 { return c.requests.Load() }

// Retries gives how many requests were sent again.
func (c *Client) Retries() int64 { return c.retries.Load() }

// maxErrorBody bounds what is read of an answer that is an error.
const maxErrorBody = 64 << 10

// send is the one place through which every request goes: it turns an answer
// that is not 2xx into an *Error.
func (c *Client) send(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	c.requests.Add(1)
	res, err := next(req)
	if err != nil {
		if req.Context().Err() != nil {
			return nil, context.Cause(req.Context())
		}
		return nil, &Error{Message: "no answer: " + hideURL(err), interrupted: true}
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	e := errorOf(res.StatusCode, body)
	_ = c.washed(e)
	e.RetryAfter = retryAfter(res.Header.Get("Retry-After"), c.cfg.Clock())
	if e.RetryAfter > 0 && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable) {
		if err := c.cfg.Limiter.Pause(req.Context(), e.RetryAfter); err != nil {
			return nil, err
		}
	}
	return nil, e
}

// hideURL keeps signed URLs and hosts out of an error's text.
func hideURL(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// washed takes the token out of what a server said.
func (c *Client) washed(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Message = strings.ReplaceAll(e.Message, c.cfg.Token, "[token]")
	}
	return err
}

// maxRetryAfter bounds what one header can hold everyone back: Cloudflare's own
// rate limit lasts 5 minutes.
const maxRetryAfter = 10 * time.Minute

// retryAfter reads the header as seconds or as a date (RFC 9110, 10.2.3).
func retryAfter(h string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(h); err == nil {
		return time.Duration(min(max(0, n), int(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return min(max(0, t.Sub(now)), maxRetryAfter)
	}
	return 0
}

// call is a request of the service, told to hand its response to us unread.
type call func(ctx context.Context, opts ...option.RequestOption) error

// do waits for a token of the limiter, sends once and gives the body, which ends
// by itself when no byte arrives for the idle time; neither the wait for the
// token nor a slow reader of the body counts as silence. Closing it ends the
// request.
func (c *Client) do(ctx context.Context, what call) (io.ReadCloser, error) {
	if err := c.cfg.Limiter.Wait(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var res *http.Response
	idle := time.AfterFunc(c.cfg.Idle, func() { cancel(errIdle) })
	err := what(ctx, option.WithResponseBodyInto(&res))
	idle.Stop()
	if err != nil || res == nil {
		cause := context.Cause(ctx)
		cancel(nil)
		if errors.Is(cause, errIdle) {
			err = &Error{Message: errIdle.Error(), interrupted: true}
		} else if err == nil {
			err = &Error{Message: "no answer", interrupted: true}
		}
		return nil, err
	}
	return &watched{ctx: ctx, cancel: cancel, body: res.Body, idle: idle, after: c.cfg.Idle}, nil
}

var errIdle = errors.New("the answer stopped coming")

// watched is a body with a watchdog.
type watched struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	idle   *time.Timer
	after  time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	w.idle.Reset(w.after)
	n, err := w.body.Read(b)
	w.idle.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(w.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (w *watched) Close() error {
	w.idle.Stop()
	w.cancel(nil)
	return w.body.Close()
}

// envelope is the shape of every answer.
type envelope[T any] struct {
	Result     T    `json:"result"`
	Success    bool `json:"success"`
	Errors     []apiError
	ResultInfo struct {
		Page       int `json:"page"`
		PerPage    int `json:"per_page"`
		TotalCount int `json:"total_count"`
		Count      int `json:"count"`
	} `json:"result_info"`
}

type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// maxSmall bounds the answers that are read whole.
const maxSmall = 16 << 20

// small sends a request whose answer is read whole. read says that it changes
// nothing, and so may be tried again.
func small[T any](ctx context.Context, c *Client, op, id string, read bool, what call) (e envelope[T], err error) {
	err = c.retry(ctx, read, func() (bool, error) {
		body, err := c.do(ctx, what)
		if err != nil {
			return true, err
		}
		defer body.Close()
		text, err := io.ReadAll(io.LimitReader(body, maxSmall))
		if err != nil {
			return true, &Error{Message: "the answer was cut: " + err.Error(), interrupted: true}
		}
		e = envelope[T]{}
		if err := json.Unmarshal(text, &e); err != nil {
			return true, notJSON(text)
		}
		if !e.Success || len(e.Errors) > 0 {
			return true, c.washed(failure(http.StatusOK, e.Errors))
		}
		return true, nil
	})
	return e, named(err, op, id)
}

// tries is how often a read is sent.
const tries = 3

// retry tries again what is worth it: f tells whether nothing was handed over yet.
func (c *Client) retry(ctx context.Context, read bool, f func() (clean bool, err error)) error {
	for n := 1; ; n++ {
		clean, err := f()
		if err == nil || !read || !clean || n == tries || ctx.Err() != nil || !errors.Is(err, backup.ErrUnavailable) {
			return err
		}
		c.retries.Add(1)
		var e *Error
		if errors.As(err, &e) && e.RetryAfter > 0 {
			continue // the limiter waits
		}
		if err := c.cfg.Pause(ctx, time.Duration(n*n)*250*time.Millisecond); err != nil {
			return err
		}
	}
}

// account fills the field that every call needs. The library's own helper for
// fields lies in its root package, which pulls every Cloudflare service in.
func (c *Client) body(v any) (option.RequestOption, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return option.WithRequestBody("application/json", bytes.NewReader(b)), nil
}
