package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
)

const (
	demoAccount = "demo"
	demoUser    = "admin"
	demoAddr    = "127.0.0.1:8080"
	demoPorts   = 20 // how many ports are tried from demoAddr on
)

func (a *app) demoCommand() *cobra.Command {
	dev := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Everything embedded: a sample account, a first backup, the dashboard",
		Long: `Runs all of Patina on this machine, with nothing to set up: an embedded Postgres,
a folder as the bucket, and a simulated Cloudflare account with the six databases
of Grove. Today's nightly backup is made at once. Everything lies under
PATINA_DATA (./data), and a second start goes on from there.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), dev) },
	}
	cmd.Flags().BoolVar(&dev, "dev", false, "serve /dev/gallery too: every component of the dashboard in every state")
	return cmd
}

// demoSecrets is what the demo remembers: the first admin's password and a
// token, so that it can show them at each start.
type demoSecrets struct {
	Password     string `json:"password"`
	Token        string `json:"token"`
	AccountToken string `json:"account_token"`
}

func (a *app) demo(ctx context.Context, dev bool) error {
	began := a.clock()
	cfg := loadConfig(a.demoEnv(), a.configFile)
	if err := cfg.Validate(); err != nil {
		return err
	}
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	a.say("Patina demo: everything lies under %s", cfg.Data)
	in, err := a.openStore(ctx, cfg, log, true)
	if err != nil {
		return err
	}
	in.dev = dev
	if in.server.Shared() {
		return closing(ctx, in, backup.Errorf(backup.ErrConflict, "another Patina runs on %s; stop it first, or set PATINA_DATA to another folder", cfg.Data))
	}
	return closing(ctx, in, a.demoWith(ctx, in, began))
}

// demoEnv hides the settings of a real installation: the demo never touches one.
func (a *app) demoEnv() lookup {
	return func(name string) (string, bool) {
		switch name {
		case "PATINA_DATA", "PATINA_ADDR", "PATINA_NIGHTLY", "PATINA_WEEKLY", "PATINA_KEEP_DAILY", "PATINA_KEEP_WEEKLY", "PATINA_COMPRESS", "PATINA_CONCURRENCY", "PATINA_PUBLIC_URL":
			return a.env(name)
		}
		return "", false
	}
}

func (a *app) demoWith(ctx context.Context, in *installation, began time.Time) error {
	secrets, err := loadDemoSecrets(filepath.Join(in.cfg.Data, "demo.json"))
	if err != nil {
		return err
	}
	if err := in.enterPeople(ctx, secrets); err != nil {
		return err
	}
	account, err := startAccount(ctx, in, secrets)
	if err != nil {
		return err
	}
	defer account.close()
	if _, err := in.enterDatabases(ctx, nil); err != nil {
		return err
	}
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return err
	}
	client, err := newD1(in.cfg, in.limiter(limiterName))
	if err != nil {
		return err
	}
	if err := in.openAlerts(); err != nil {
		return err
	}
	r, err := in.runner(ctx, bucket, client)
	if err != nil {
		return err
	}
	if err := errors.Join(explainBucket(ctx, bucket), r.Start(ctx)); err != nil {
		return err
	}
	p := &process{log: in.log, runner: r}
	if err := a.listenDemo(ctx, in, p, bucket); err != nil {
		return errors.Join(err, p.stop(ctx))
	}
	a.say("Dashboard: http://%s   started in %.1f s", p.addr, a.clock().Sub(began).Seconds())
	made, err := a.firstBackup(ctx, in, r)
	if err == nil && made {
		// A little life, so that the next backup differs from this one.
		err = d1sim.Activity(ctx, account.account, a.clock())
	}
	if err != nil {
		return errors.Join(demoEnd(ctx, err), p.stop(ctx))
	}
	a.demoSummary(in, p, secrets)
	err = p.wait(ctx)
	if err == nil {
		a.say("Stopped. What was stored stays; the next start goes on from here.")
	}
	return err
}

// demoEnd forgives an interruption: Ctrl-C is how a demo ends.
func demoEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func loadDemoSecrets(name string) (demoSecrets, error) {
	var s demoSecrets
	text, err := os.ReadFile(name)
	if err == nil {
		if err = json.Unmarshal(text, &s); err == nil && s.Password != "" && s.Token != "" && s.AccountToken != "" {
			return s, nil
		}
		return s, backup.Errorf(backup.ErrCorrupt, "%s cannot be read; `make db/reset` begins the demo anew", name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	token, _, _ := auth.NewToken()
	s = demoSecrets{Password: rand.Text()[:20], Token: token, AccountToken: rand.Text()}
	text, err = json.MarshalIndent(s, "", "  ") //nolint:gosec // the demo's own password, in its own folder
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(name, append(text, '\n'), 0o600)
}

// enterPeople makes the demo's admin and API token where they are missing.
func (in *installation) enterPeople(ctx context.Context, s demoSecrets) error {
	now := in.clock()
	_, err := in.store.EnsureToken(ctx, store.Token{
		Name: "demo", SHA256: auth.HashToken(s.Token), Hint: auth.Hint(s.Token), Role: store.Admin, Downloader: true,
		CreatedBy: "demo", CreatedAt: now,
	})
	if err != nil {
		return err
	}
	if _, err := in.store.UserByName(ctx, demoUser); !errors.Is(err, backup.ErrNotFound) {
		return err
	}
	hash, err := auth.HashPassword(s.Password)
	if err != nil {
		return err
	}
	_, err = in.store.InsertUser(ctx, store.User{Name: demoUser, PasswordHash: hash, Role: store.Admin, Downloader: true, CreatedAt: now})
	return err
}

// sampleAccount is the simulated Cloudflare account, served on the loopback.
type sampleAccount struct {
	account *d1sim.Account
	http    *http.Server
}

// startAccount serves the account and points the configuration at it.
func startAccount(ctx context.Context, in *installation, s demoSecrets) (*sampleAccount, error) {
	account, err := d1sim.New(d1sim.Config{Dir: filepath.Join(in.cfg.Data, "account"), Token: s.AccountToken, AccountID: demoAccount, Clock: in.clock})
	if err != nil {
		return nil, err
	}
	if err := d1sim.Grove(ctx, account); err != nil {
		return nil, errors.Join(err, account.Close())
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, account.Close())
	}
	srv := &http.Server{Handler: account.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(ln) }()
	in.cfg.AccountID, in.cfg.APIToken, in.cfg.BaseURL = demoAccount, Secret(s.AccountToken), "http://"+ln.Addr().String()
	in.cfg.Databases = d1sim.GroveDatabases()
	return &sampleAccount{account, srv}, nil
}

func (s *sampleAccount) close() {
	_ = s.http.Close()
	_ = s.account.Close()
}

// listenDemo takes the first free port from 8080 on, unless one was named.
func (a *app) listenDemo(ctx context.Context, in *installation, p *process, bucket object.Bucket) error {
	ln, err := a.demoPort(ctx, in.cfg.Addr)
	if err != nil {
		return err
	}
	srv, err := in.newWeb(bucket, p.runner, ln.Addr())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	p.serveOn(ctx, srv, ln)
	return nil
}

func (a *app) demoPort(ctx context.Context, named string) (net.Listener, error) {
	var lc net.ListenConfig
	if named != "" {
		ln, err := lc.Listen(ctx, "tcp", named)
		if err != nil {
			return nil, busyPort(named, err)
		}
		return ln, nil
	}
	host, first, _ := net.SplitHostPort(demoAddr)
	port, _ := strconv.Atoi(first)
	var last error
	for n := range demoPorts {
		addr := net.JoinHostPort(host, strconv.Itoa(port+n))
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err == nil {
			if n > 0 {
				a.say("Port %d is taken by another program: using %d.", port, port+n)
			}
			return ln, nil
		}
		last = err
	}
	return nil, busyPort(demoAddr, last)
}

// firstBackup makes today's nightly backup, unless its slot has run already,
// and tells whether it did.
func (a *app) firstBackup(ctx context.Context, in *installation, r *jobs.Runner) (made bool, err error) {
	slot, err := jobs.NextRun(in.cfg.Nightly, backup.DateOf(a.clock()).Time().Add(-time.Second))
	if err != nil {
		return false, err
	}
	jobID, made, err := r.StartSlot(ctx, jobs.NightlySchedule, slot)
	if err != nil {
		return false, err
	}
	if made {
		a.say("Today's nightly backup:")
	} else {
		a.say("Today's nightly backup was made before:")
	}
	if jobID == "" {
		return made, nil
	}
	f, err := a.follow(ctx, in.store, jobID)
	if err != nil {
		return made, err
	}
	a.say("")
	for _, res := range f.results {
		if res.Status != backup.ResultSuccess {
			continue
		}
		c, err := proved(ctx, in.store, res.Key)
		if err != nil {
			return made, fmt.Errorf("find %s in the catalogue: %w", res.Key, err)
		}
		a.say("  %-48s %8s  %7s rows  %-7s  sha256 %s", c.Key, humanize.Bytes(uint64(c.Size)), humanize.Comma(c.Rows), c.Proof, c.SHA256)
	}
	if f.job.Status != backup.JobCompleted {
		a.say("The job is %s: its page says why, and what to do.", f.job.Status)
	}
	return made, nil
}

// proofPatience is how long the demo's summary waits for a copy's proof.
const proofPatience = 30 * time.Second

// proved gives the copy at a key, once it is proven or found bad; a proof that
// takes long is not waited for.
func proved(ctx context.Context, s *store.Store, key string) (backup.Copy, error) {
	late := time.NewTimer(proofPatience)
	defer late.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		c, err := s.CopyByKey(ctx, key)
		if err != nil || c.Proof != backup.ProofPending {
			return c, err
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-late.C:
			return c, nil
		case <-tick.C:
		}
	}
}

func (a *app) demoSummary(in *installation, p *process, s demoSecrets) {
	a.say(`
  Dashboard   http://%s
  Sign in     %s   %s
  API token   %s
  Stored in   %s

  curl -H "Authorization: Bearer %s" http://%s/list

Ctrl-C stops.`, p.addr, demoUser, s.Password, s.Token, filepath.Join(in.cfg.Data, "bucket"), s.Token, p.addr)
}
