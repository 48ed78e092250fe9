package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
	"github.com/AutumnsGrove/Patina/web/auth"
)

func (a *app) serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the dashboard, the API and the worker",
		Long: `Runs the dashboard, the API and the worker that makes the backups, until it is
told to stop (SIGTERM, Ctrl-C). Running exports then get four minutes; what does
not finish goes back into the queue. A second signal ends it at once.

Any number of processes may run against one Postgres, with --web=false or
--worker=false to split them. An embedded Postgres and a folder as the bucket are
refused unless --embedded says that this is meant: they die with this machine.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.web && !o.worker {
				return usagef("--web=false and --worker=false leave nothing to run")
			}
			return a.serve(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.web, "web", true, "serve the dashboard and the API")
	cmd.Flags().BoolVar(&o.worker, "worker", true, "make backups")
	cmd.Flags().BoolVar(&o.embedded, "embedded", false, "what DATABASE_URL and PATINA_BUCKET do not name lives under PATINA_DATA")
	return cmd
}

type serveOptions struct{ web, worker, embedded bool }

func (o serveOptions) needs() []need {
	var needs []need
	if !o.embedded {
		needs = append(needs, needStore, needRemoteBucket, needSecret) // the worker opens sealed addresses with it
	}
	if o.worker {
		needs = append(needs, needAccount)
	}
	return needs
}

func (a *app) serve(ctx context.Context, o serveOptions) error {
	cfg := loadConfig(a.env, a.configFile)
	if err := cfg.Validate(o.needs()...); err != nil {
		return err
	}
	log, err := a.logger(slog.LevelInfo)
	if err != nil {
		return err
	}
	in, err := a.openStore(ctx, cfg, log, o.embedded)
	if err != nil {
		return err
	}
	return closing(ctx, in, a.serveWith(ctx, in, o))
}

func (a *app) serveWith(ctx context.Context, in *installation, o serveOptions) error {
	if err := in.migrate(ctx); err != nil {
		return err
	}
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return err
	}
	if err := in.bootstrap(ctx); err != nil {
		return err
	}
	if err := in.openAlerts(); err != nil {
		return err
	}
	if err := in.enterChannels(ctx); err != nil {
		return err
	}
	r, err := in.worker(ctx, bucket, o.worker)
	if err != nil {
		return err
	}
	p := &process{log: in.log}
	if o.worker {
		if err := explainBucket(ctx, bucket); err != nil {
			in.log.Warn("the bucket's README.txt could not be written", "error", err.Error())
		}
		if err := r.Start(ctx); err != nil {
			return err
		}
		p.runner = r
		in.log.Info("worker started", "concurrency", in.cfg.Concurrency, "nightly", in.cfg.Nightly, "weekly", in.cfg.Weekly, "bucket", bucket.String())
	}
	if o.web {
		if err := p.listenWeb(ctx, in, bucket, r); err != nil {
			return errors.Join(err, p.stop(ctx))
		}
	}
	return p.wait(ctx)
}

// worker makes the job layer, with the account where this process is to work.
func (in *installation) worker(ctx context.Context, bucket object.Bucket, works bool) (*jobs.Runner, error) {
	if !works {
		return in.runner(ctx, bucket, nil)
	}
	client, err := newD1(in.cfg, in.limiter(limiterName))
	if err != nil {
		return nil, err
	}
	ids, err := in.lookUpIDs(ctx, client)
	if err != nil {
		// The account may answer again before the night does.
		in.log.Warn("the databases of patina.toml without an id wait for the next start", "error", err.Error())
	}
	unknown, err := in.enterDatabases(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, name := range unknown {
		in.log.Warn("patina.toml names a database that the account does not show", "database", name)
	}
	return in.runner(ctx, bucket, client)
}

// bootstrap makes the API token of PATINA_BOOTSTRAP_TOKEN, once: a token that
// was revoked does not come back.
func (in *installation) bootstrap(ctx context.Context) error {
	secret := in.cfg.BootstrapToken.Reveal()
	if secret == "" {
		return nil
	}
	added, err := in.store.EnsureToken(ctx, store.Token{
		Name: "bootstrap", SHA256: auth.HashToken(secret), Hint: auth.Hint(secret), Role: store.Admin, Downloader: true,
		CreatedBy: "configuration", CreatedAt: in.clock(),
	})
	if added {
		in.log.Info("made the bootstrap API token")
	}
	return err
}

// secretKey is PATINA_SECRET, or with embedded parts one that is made once and
// kept beside them.
func (in *installation) secretKey() ([]byte, error) {
	if key := in.cfg.SecretKey(); key != nil {
		return key, nil
	}
	name := filepath.Join(in.cfg.Data, "secret")
	text, err := os.ReadFile(name)
	if err == nil {
		return decodeKey(strings.TrimSpace(string(text)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key, os.WriteFile(name, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600)
}

// process is what runs until it is told to stop.
type process struct {
	log    *slog.Logger
	runner *jobs.Runner // nil without a worker
	http   *http.Server // nil without a dashboard
	addr   string       // where it listens
	failed chan error   // the listener's end
}

// listenWeb starts the dashboard and the API.
func (p *process) listenWeb(ctx context.Context, in *installation, bucket object.Bucket, r *jobs.Runner) error {
	addr := in.cfg.Addr
	if addr == "" {
		addr = ":8080"
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return busyPort(addr, err)
	}
	srv, err := in.newWeb(bucket, r, ln.Addr())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	if err := in.greet(ctx, srv); err != nil {
		return errors.Join(err, ln.Close())
	}
	p.serveOn(ctx, srv, ln)
	p.log.Info("dashboard started", "address", p.addr)
	return nil
}

func (p *process) serveOn(ctx context.Context, srv *web.Server, ln net.Listener) {
	p.addr, p.failed = ln.Addr().String(), make(chan error, 1)
	p.http = srv.HTTP(ctx)
	go func() { p.failed <- p.http.Serve(ln) }()
}

func (in *installation) newWeb(bucket object.Bucket, r *jobs.Runner, addr net.Addr) (*web.Server, error) {
	secret, err := in.secretKey()
	if err != nil {
		return nil, err
	}
	public := in.cfg.PublicURL
	if public == "" {
		public = localURL(addr)
	}
	return web.New(web.Config{
		Store: in.store, Bucket: bucket, Requests: r, PublicURL: public, Secret: secret, TrustedProxies: in.cfg.TrustedProxies,
		Log: in.log, Clock: in.clock, Version: programVersion(),
		Sealer: in.sealer, Sender: in.sender, MetricsToken: in.cfg.Alerts.MetricsToken.Reveal(),
		Nightly: func(after time.Time) time.Time { nightly, _ := r.Next(after); return nightly },
		Weekly:  func(after time.Time) time.Time { _, weekly := r.Next(after); return weekly },
		Drill:   func(after time.Time) time.Time { at, _ := jobs.NextRun(in.cfg.Drill, after); return at },
		Cleanup: r.NextCleanup, Keep: in.cfg.Keep, Dev: in.dev, Issuer: in.cfg.Issuer,
	})
}

// localURL is how this machine reaches a listener.
func localURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// greet puts the one-time link into the log by which the first admin is made.
func (in *installation) greet(ctx context.Context, srv *web.Server) error {
	link, err := srv.SetupURL(ctx)
	if err == nil && link != "" {
		in.log.Info("nobody can sign in yet: this link makes the first admin, once", "url", link)
	}
	return err
}

func busyPort(addr string, err error) error {
	return &backup.Error{Kind: backup.ErrUnavailable, Message: "cannot listen on " + addr, Next: "Stop what holds that port, or name another: PATINA_ADDR=:8081", Err: err}
}

// wait runs until the context ends or the listener fails, and stops in order.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		p.log.Info("stopping: running exports may finish; a second signal ends this at once")
		return p.stop(ctx)
	case err := <-p.failed:
		return errors.Join(fmt.Errorf("the dashboard ended: %w", err), p.stop(ctx))
	}
}

// stop ends the dashboard, then the worker. It takes as long as the worker's
// running exports, which the job layer bounds.
func (p *process) stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var webErr, jobErr error
	if p.http != nil {
		bounded, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		if webErr = p.http.Shutdown(bounded); webErr != nil {
			webErr = p.http.Close() // a long download: cut it
		}
	}
	if p.runner != nil {
		jobErr = p.runner.Stop(ctx)
	}
	return errors.Join(webErr, jobErr)
}
