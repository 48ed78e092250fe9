package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/embedded"
)

// stopTimeout bounds what a stop may take after exports had their time.
const stopTimeout = 30 * time.Second

// installation is what most verbs work on: an open store, and what else the
// verb opened.
type installation struct {
	cfg    *Config
	log    *slog.Logger
	store  *store.Store
	server *embedded.Server // nil where DATABASE_URL names another
	clock  func() time.Time
	dev    bool // serves what development alone needs

	sealer *alert.Sealer // nil until openAlerts
	sender *alert.Sender
}

// openStore opens the Postgres that the configuration names; where it names
// none and embedded is allowed, the one under PATINA_DATA, brought up to date.
func (a *app) openStore(ctx context.Context, cfg *Config, log *slog.Logger, allowEmbedded bool) (*installation, error) {
	in := &installation{cfg: cfg, log: log, clock: a.clock}
	url := cfg.DatabaseURL.Reveal()
	if url == "" && allowEmbedded {
		if err := os.MkdirAll(cfg.Data, 0o755); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
		server, err := embedded.Start(ctx, embedded.Config{Dir: filepath.Join(cfg.Data, "postgres"), Log: log})
		if err != nil {
			return nil, err
		}
		in.server, url = server, server.URL()
	}
	s, err := store.Open(ctx, url)
	if err != nil {
		return nil, errors.Join(err, in.close(ctx))
	}
	in.store = s
	if in.server != nil {
		if err := in.migrate(ctx); err != nil {
			return nil, errors.Join(err, in.close(ctx))
		}
	}
	return in, nil
}

// openInstallation is openStore for verbs that work on a running installation.
func (a *app) openInstallation(ctx context.Context, useEmbedded bool, needs ...need) (*installation, error) {
	cfg := loadConfig(a.env, a.configFile)
	if !useEmbedded {
		needs = append(needs, needStore)
	}
	if err := cfg.Validate(needs...); err != nil {
		return nil, err
	}
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return nil, err
	}
	in, err := a.openStore(ctx, cfg, log, useEmbedded)
	if err != nil {
		return nil, err
	}
	if err := in.checkMigrated(ctx); err != nil {
		return nil, errors.Join(err, in.close(ctx))
	}
	return in, nil
}

// migrate brings the tables to this program's version.
func (in *installation) migrate(ctx context.Context) error {
	return store.Migrate(ctx, in.store.Pool(), jobs.Migrate)
}

// close ends what was opened; an embedded Postgres that another process runs
// goes on.
func (in *installation) close(ctx context.Context) error {
	if in.store != nil {
		in.store.Close()
	}
	if in.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return in.server.Stop(ctx)
}

// bucket opens the bucket that the configuration names.
func openBucket(ctx context.Context, cfg *Config) (object.Bucket, error) {
	return object.Open(ctx, cfg.Bucket, object.Config{
		R2AccessKeyID: cfg.R2AccessKeyID, R2SecretAccessKey: cfg.R2SecretAccessKey.Reveal(),
		R2Jurisdiction: cfg.R2Jurisdiction, AccountID: cfg.AccountID,
	})
}

// newD1 makes a client of the account; a nil limiter is one of this process.
func newD1(cfg *Config, limiter d1.Limiter) (*d1.Client, error) {
	if limiter == nil {
		limiter = d1.NewLocalLimiter(cfg.rate())
	}
	return d1.New(d1.Config{AccountID: cfg.AccountID, Token: cfg.APIToken.Reveal(), BaseURL: cfg.BaseURL, Limiter: limiter})
}

// newRestoreD1 makes a client that may write; nil where no account is
// configured. A token of its own has a budget of requests of its own.
func newRestoreD1(cfg *Config, limiter func(name string) d1.Limiter) (*d1.Client, error) {
	if cfg.AccountID == "" || cfg.APIToken == "" && cfg.RestoreToken == "" {
		return nil, nil
	}
	token, name := cfg.RestoreToken, limiterName+"-restore"
	if token == "" {
		token, name = cfg.APIToken, limiterName
	}
	c := d1.Config{AccountID: cfg.AccountID, Token: token.Reveal(), BaseURL: cfg.BaseURL}
	if limiter != nil {
		c.Limiter = limiter(name)
	}
	return d1.New(c)
}

// runner makes the job layer. Without a bucket and a client it can only take
// requests, which a worker carries out.
func (in *installation) runner(ctx context.Context, bucket object.Bucket, client *d1.Client) (*jobs.Runner, error) {
	writer, err := newRestoreD1(in.cfg, in.limiter)
	if err != nil {
		return nil, err
	}
	key, err := in.hashKey(client)
	if err != nil {
		return nil, err
	}
	return jobs.New(ctx, jobs.Config{
		Store: in.store, Bucket: bucket, D1: client, Restore: writer, Log: in.log, Clock: in.clock,
		Nightly: in.cfg.Nightly, Weekly: in.cfg.Weekly, Drill: in.cfg.Drill, Concurrency: in.cfg.Concurrency, Compress: in.cfg.Compress, Keep: in.cfg.Keep,
		SoftStopTimeout: in.cfg.StopTimeout,
		Sealer:          in.sealer, Sender: in.sender, PublicURL: in.cfg.PublicURL, Heartbeat: in.cfg.Alerts.HeartbeatURL.Reveal(), Summary: in.cfg.Alerts.SummaryAt,
		Include: in.cfg.Include, Exclude: in.cfg.Exclude, Redact: in.cfg.redacted(), HashKey: key, Version: programVersion(), Hook: failpoint(),
	})
}

// enterDatabases writes what patina.toml lists into the registry. Where it
// gives no id, ids holds the account's, by name; one that is unknown is left
// out and named.
func (in *installation) enterDatabases(ctx context.Context, ids map[string]string) (unknown []string, err error) {
	now := in.clock().UTC()
	for _, db := range in.cfg.Databases {
		if db.ID == "" {
			db.ID = ids[db.Name]
		}
		if db.ID == "" {
			unknown = append(unknown, db.Name)
			continue
		}
		db.FirstSeenAt, db.LastSeenAt = now, now
		old, err := in.store.Database(ctx, db.ID)
		switch {
		case err == nil:
			db.Paused, db.FirstSeenAt, db.GoneAt = old.Paused, old.FirstSeenAt, old.GoneAt
		case !errors.Is(err, backup.ErrNotFound):
			return nil, err
		}
		if err := in.store.EnterDatabase(ctx, db); err != nil {
			return nil, err
		}
	}
	return unknown, in.freeRedactions(ctx)
}

// freeRedactions hands to the dashboard the rules that patina.toml said once and
// says no longer.
func (in *installation) freeRedactions(ctx context.Context) error {
	all, err := in.store.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return err
	}
	for _, db := range all {
		said := slices.ContainsFunc(in.cfg.Databases, func(c backup.Database) bool {
			return c.RedactFixed && (c.ID == db.ID || c.ID == "" && c.Name == db.Name)
		})
		if !db.RedactFixed || said {
			continue
		}
		if err := in.store.FreeRedactions(ctx, db.ID); err != nil {
			return err
		}
		if len(db.Redact) > 0 {
			in.log.Warn("patina.toml no longer says what is redacted: the rules stay, and the dashboard can change them", "database", db.Name)
		}
	}
	return nil
}

// redacted gives the databases whose rules patina.toml says.
func (c *Config) redacted() (out []backup.Database) {
	for _, db := range c.Databases {
		if db.RedactFixed {
			out = append(out, db)
		}
	}
	return out
}

// hashKey is the key of the rule hash, where a worker needs one.
func (in *installation) hashKey(client *d1.Client) ([]byte, error) {
	if client == nil {
		return nil, nil
	}
	secret, err := in.secretKey()
	if err != nil {
		return nil, err
	}
	return export.HashKey(secret)
}

// lookUpIDs asks the account for the ids of its databases, if patina.toml
// leaves one out.
func (in *installation) lookUpIDs(ctx context.Context, client *d1.Client) (map[string]string, error) {
	ids := map[string]string{}
	for _, db := range in.cfg.Databases {
		if db.ID != "" {
			continue
		}
		all, err := client.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("look up the databases of patina.toml: %w", err)
		}
		for _, info := range all {
			ids[info.Name] = info.ID
		}
		break
	}
	return ids, nil
}

// actor names who sits at the command line, for the record.
func actor() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username + " (command line)"
	}
	return "command line"
}

// limiterName is the token bucket that all processes share: the API counts
// requests by token, and a Patina has one.
const limiterName = "cloudflare"

// rate is how many requests a second may go to Cloudflare, and how many at once.
func (c *Config) rate() (perSecond float64, burst int) {
	return float64(c.APIRequests) / 300, min(d1.DefaultBurst, max(1, c.APIRequests/9))
}

func (in *installation) limiter(name string) d1.Limiter {
	perSecond, burst := in.cfg.rate()
	return in.store.Limiter(name, perSecond, burst)
}

// checkMigrated refuses tables, ours and the queue's, of another version than
// this program's.
func (in *installation) checkMigrated(ctx context.Context) error {
	if err := in.store.CheckMigrated(ctx); err != nil {
		return err
	}
	return jobs.CheckMigrated(ctx, in.store.Pool())
}

// record writes to the audit log what the command line did.
func (in *installation) record(ctx context.Context, action, target, outcome string) error {
	_, err := in.store.AppendAudit(ctx, store.AuditEntry{At: in.clock(), Actor: actor(), Action: action, Target: target, Outcome: outcome})
	return err
}
