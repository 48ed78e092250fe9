// Package web answers people and programs over HTTP: pages, fragments for
// htmx, and JSON, under one set of URLs.
//
// It owns the server, the table of routes, who may use which, and how an error
// is told. It composes the sections, each a package of its own, and keeps echo
// to itself and to them. It starts no job but by asking, and never imports jobs.
package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/static"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/history"
	"github.com/AutumnsGrove/Patina/web/restores"
)

// Requester starts, cancels and retries jobs, and tells what a restore would do.
type Requester = restores.Requester

// Config is what a server needs. Store, Bucket, Requests and Secret are
// required.
type Config struct {
	Store          *store.Store
	Bucket         object.Bucket
	Requests       Requester
	PublicURL      string // as people reach us; its scheme decides about cookies and HSTS
	Secret         []byte // at least 16 bytes
	TrustedProxies []netip.Prefix
	Sealer         *alert.Sealer                   // seals channels' addresses; nil: none can be added
	Sender         *alert.Sender                   // tells which addresses a channel may have; nil: public ones
	MetricsToken   string                          // of /metrics; "": there is none
	Log            *slog.Logger                    // slog.Default() when nil
	Clock          func() time.Time                // time.Now when nil
	Version        string                          //
	Nightly        func(after time.Time) time.Time // the first nightly run after; nil for none
	Weekly         func(after time.Time) time.Time // the same for the weekly
	Drill          func(after time.Time) time.Time // the same for the drill
	Cleanup        func(after time.Time) time.Time // the same for the cleanup
	Keep           retention.Fixed                 // what the environment says of how long copies stay
	Dev            bool                            // shows what serves development alone
	Issuer         *auth.Issuer                    // whom people may sign in with too; nil for none
	Interval       time.Duration                   // between two looks of an event stream; 1 s when 0
}

// validate reports every problem at once.
func (c *Config) validate() error {
	var wrong []string
	if c.Store == nil || c.Bucket == nil || c.Requests == nil {
		wrong = append(wrong, "a store, a bucket and a requester are needed")
	}
	if len(c.Secret) < 16 {
		wrong = append(wrong, "the secret has fewer than 16 bytes")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			wrong = append(wrong, "the public URL is not of the form https://host")
		}
	}
	if len(wrong) > 0 {
		return backup.Errorf(backup.ErrInvalid, "web: %s", strings.Join(wrong, "; "))
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Sender == nil {
		c.Sender = alert.NewSender(alert.Allow{}, c.Version, c.Clock)
	}
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	return nil
}

// Server is the whole of the HTTP side of a process.
type Server struct {
	cfg     Config
	echo    *echo.Echo
	auth    *auth.Service
	cross   *http.CrossOriginProtection
	secure  bool
	routes  []Route
	streams *history.Streams
	alarms  store.Fresh[struct{}, string]
	done    chan struct{}
	close   sync.Once
}

// New makes the server. It listens to nothing yet. Errors: ErrInvalid.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, echo: echo.New(), cross: http.NewCrossOriginProtection(),
		secure: strings.HasPrefix(cfg.PublicURL, "https://"), done: make(chan struct{}),
	}
	if cfg.PublicURL != "" {
		if err := s.cross.AddTrustedOrigin(cfg.PublicURL); err != nil {
			return nil, &backup.Error{Kind: backup.ErrInvalid, Message: "web: the public URL is no origin", Err: err}
		}
	}
	s.auth = auth.New(cfg.Store, cfg.Secret, s.secure, cfg.Clock)
	if cfg.Issuer != nil {
		s.auth.UseIssuer(*cfg.Issuer, cfg.PublicURL, cfg.Log)
	}
	s.streams = &history.Streams{Store: cfg.Store, Interval: cfg.Interval, Done: s.done}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.serveError
	s.echo.IPExtractor = clientIP(cfg.TrustedProxies)
	s.echo.Pre(s.headers, s.number, s.recover, deadline, plainPath, s.sameSite, bounded)
	s.echo.GET(static.Prefix+"*", echo.WrapHandler(static.Handler()))
	s.echo.HEAD(static.Prefix+"*", echo.WrapHandler(static.Handler()))
	s.routes = s.table()
	for _, r := range s.routes {
		s.echo.Add(r.Method, r.Path, s.guard(r))
		if r.Method == http.MethodGet && !r.Stream {
			s.echo.Add(http.MethodHead, r.Path, s.guard(r))
		}
	}
	return s, nil
}

// Handler answers every request.
func (s *Server) Handler() http.Handler { return s.echo }

// HTTP gives a server for the handler with the timeouts that it is made for.
// Shutting it down ends the event streams first.
func (s *Server) HTTP(ctx context.Context) *http.Server {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	srv.RegisterOnShutdown(s.Close)
	return srv
}

// Close ends the event streams. It may be called more than once.
func (s *Server) Close() { s.close.Do(func() { close(s.done) }) }

// SetupURL gives the one-time link by which the first admin is made: for the
// log at start. "" where somebody can sign in already.
func (s *Server) SetupURL(ctx context.Context) (string, error) {
	path, err := s.auth.SetupPath(ctx)
	if path == "" {
		return "", err
	}
	return s.cfg.PublicURL + path, nil
}
