package main

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/web/auth"
)

// Config is everything that the environment and patina.toml say. It is parsed
// once, by loadConfig, and nothing else reads either of them.
type Config struct {
	DatabaseURL Secret // of Postgres; holds a password
	Data        string // folder of the embedded parts, absolute
	Bucket      string // r2://, s3:// or file://

	R2AccessKeyID     string
	R2SecretAccessKey Secret
	R2Jurisdiction    string

	AccountID    string // Cloudflare's
	APIToken     Secret
	RestoreToken Secret // what restores write with; "": APIToken
	BaseURL      string // of Cloudflare's API; "" for the real one

	BootstrapToken Secret // the admin API token of a first start
	Addr           string // "" for the verb's default
	PublicURL      string
	Secret         Secret // base64 of 32 bytes
	TrustedProxies []netip.Prefix

	Nightly     string             // cron spec, UTC
	Weekly      string             // cron spec, UTC
	Keep        retention.Fixed    // how long copies stay; 0 where nothing says
	Drill       string             // cron spec, UTC
	Compress    backup.Compression // how dumps are stored
	Concurrency int                // exports at once over all processes
	APIRequests int                // to Cloudflare in 5 minutes, over all processes
	StopTimeout time.Duration      // what running exports get when the process stops

	Alerts AlertConfig
	Issuer *auth.Issuer // of single sign-on; nil for none

	Databases []backup.Database // from patina.toml; an empty ID is looked up by name
	Include   []string          // globs of the names that discovery takes; none: all
	Exclude   []string

	problems []string
}

// lookup reads one variable: os.LookupEnv, or a test's map.
type lookup func(name string) (string, bool)

// environment is the process's own.
func environment() lookup { return os.LookupEnv }

// need is a part of the configuration that a verb cannot do without.
type need int

const (
	needStore        need = iota // DATABASE_URL
	needAccount                  // the Cloudflare account
	needSecret                   // PATINA_SECRET
	needRemoteBucket             // a bucket that is no folder on this machine
)

// configError reports everything that is wrong with the configuration at once.
type configError struct{ problems []string }

func (e *configError) Error() string {
	if len(e.problems) == 1 {
		return "configuration: " + e.problems[0]
	}
	return "configuration:\n  - " + strings.Join(e.problems, "\n  - ")
}

// loadConfig reads the environment and the file, which may be "" for
// ./patina.toml where there is one. What is wrong is kept for Validate.
func loadConfig(env lookup, file string) *Config {
	c := &Config{}
	get := func(name string) string {
		v, _ := env(name)
		return strings.TrimSpace(v)
	}
	c.DatabaseURL = Secret(get("DATABASE_URL"))
	c.Data = c.dataDir(get("PATINA_DATA"))
	c.Bucket = get("PATINA_BUCKET")
	if c.Bucket == "" {
		c.Bucket = (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(c.Data, "bucket"))}).String()
	}
	c.R2AccessKeyID, c.R2SecretAccessKey, c.R2Jurisdiction = get("R2_ACCESS_KEY_ID"), Secret(get("R2_SECRET_ACCESS_KEY")), get("R2_JURISDICTION")
	c.AccountID, c.APIToken, c.BaseURL = get("CLOUDFLARE_ACCOUNT_ID"), Secret(get("CLOUDFLARE_API_TOKEN")), get("CLOUDFLARE_BASE_URL")
	c.RestoreToken = Secret(get("CLOUDFLARE_RESTORE_TOKEN"))
	c.BootstrapToken, c.Secret = Secret(get("PATINA_BOOTSTRAP_TOKEN")), Secret(get("PATINA_SECRET"))
	c.Addr, c.PublicURL = get("PATINA_ADDR"), strings.TrimSuffix(get("PATINA_PUBLIC_URL"), "/")
	c.Nightly = get("PATINA_NIGHTLY")
	if c.Nightly == "" {
		c.Nightly = "0 3 * * *"
	}
	if c.Drill = get("PATINA_DRILL"); c.Drill == "" {
		c.Drill = "0 6 1 * *"
	}
	c.Weekly = get("PATINA_WEEKLY")
	if c.Weekly == "" {
		c.Weekly = "0 4 * * 0"
	}
	c.Compress = backup.Compression(get("PATINA_COMPRESS"))
	if c.Compress == "" {
		c.Compress = backup.Plain
	}
	c.Concurrency = c.number("PATINA_CONCURRENCY", get("PATINA_CONCURRENCY"), 3, 100)
	c.APIRequests = c.number("PATINA_API_REQUESTS", get("PATINA_API_REQUESTS"), d1.DefaultRate*300, 1_000_000)
	c.StopTimeout = c.duration("PATINA_STOP_TIMEOUT", get("PATINA_STOP_TIMEOUT"), 4*time.Minute)
	c.TrustedProxies = c.networks("PATINA_TRUSTED_PROXIES", get("PATINA_TRUSTED_PROXIES"))
	c.loadAlerts(get)
	c.Keep = c.loadKeep(get)
	c.Issuer = c.loadIssuer(get)
	c.check()
	c.readFile(file)
	return c
}

func (c *Config) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// Validate reports every problem at once, what is needed and missing included.
func (c *Config) Validate(needs ...need) error {
	problems := slices.Clone(c.problems)
	missing := func(name, what string) { problems = append(problems, name+" is not set: "+what) }
	for _, n := range needs {
		switch n {
		case needStore:
			if c.DatabaseURL == "" {
				missing("DATABASE_URL", "the Postgres that holds the catalogue, or give --embedded")
			}
		case needAccount:
			if c.AccountID == "" {
				missing("CLOUDFLARE_ACCOUNT_ID", "the account whose databases are backed up")
			}
			if c.APIToken == "" {
				missing("CLOUDFLARE_API_TOKEN", "an API token of that account with D1 read rights")
			}
		case needSecret:
			if c.Secret == "" {
				missing("PATINA_SECRET", "32 random bytes in base64, as from: openssl rand -base64 32")
			}
		case needRemoteBucket:
			if strings.HasPrefix(c.Bucket, "file:") {
				problems = append(problems, "PATINA_BUCKET is a folder on this machine: name an r2:// or s3:// bucket, or give --embedded")
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &configError{problems}
}

// SecretKey is the 32 bytes of PATINA_SECRET; nil when it is not set.
func (c *Config) SecretKey() []byte {
	key, err := decodeKey(c.Secret.Reveal())
	if err != nil {
		return nil
	}
	return key
}

func decodeKey(s string) ([]byte, error) {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := enc.DecodeString(s); err == nil && len(key) == 32 {
			return key, nil
		}
	}
	return nil, backup.Errorf(backup.ErrInvalid, "it is not 32 bytes in base64")
}

func (c *Config) dataDir(s string) string {
	if s == "" {
		s = "data"
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		c.problem("PATINA_DATA: %v", err)
		return s
	}
	return abs
}

func (c *Config) number(name, s string, otherwise, most int) int {
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		c.problem("%s is %q, and must be a number from 1 to %d", name, s, most)
		return otherwise
	}
	return n
}

func (c *Config) duration(name, s string, otherwise time.Duration) time.Duration {
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d > 24*time.Hour {
		c.problem("%s is %q, and must be a time such as 4m or 90s", name, s)
		return otherwise
	}
	return d
}

func (c *Config) networks(name, s string) []netip.Prefix {
	var out []netip.Prefix
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			addr, addrErr := netip.ParseAddr(part)
			if addrErr != nil {
				c.problem("%s: %q is neither an address nor a network such as 10.0.0.0/8", name, part)
				continue
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out
}

var accountID = regexp.MustCompile(`^[0-9a-zA-Z_-]{1,64}$`)

// check looks at each value that is set. No message holds a secret.
func (c *Config) check() {
	if c.DatabaseURL != "" && !strings.HasPrefix(c.DatabaseURL.Reveal(), "postgres://") && !strings.HasPrefix(c.DatabaseURL.Reveal(), "postgresql://") {
		c.problem("DATABASE_URL must begin with postgres://")
	}
	c.checkBucket()
	if c.AccountID != "" && !accountID.MatchString(c.AccountID) {
		c.problem("CLOUDFLARE_ACCOUNT_ID is %q, and an account's id has only letters and digits", c.AccountID)
	}
	c.checkURL("CLOUDFLARE_BASE_URL", c.BaseURL)
	c.checkURL("PATINA_PUBLIC_URL", c.PublicURL)
	if c.Secret != "" && c.SecretKey() == nil {
		c.problem("PATINA_SECRET is not 32 bytes in base64; make one with: openssl rand -base64 32")
	}
	if c.BootstrapToken != "" && len(c.BootstrapToken) < 20 {
		c.problem("PATINA_BOOTSTRAP_TOKEN has fewer than 20 characters; make one with: openssl rand -base64 32")
	}
	if err := jobs.CheckNightly(c.Nightly); err != nil {
		c.problem("PATINA_NIGHTLY: %v", err)
	}
	if _, err := jobs.NextRun(c.Drill, time.Time{}); err != nil {
		c.problem("PATINA_DRILL: %v", err)
	}
	if _, err := jobs.NextRun(c.Weekly, time.Unix(0, 0)); err != nil {
		c.problem("PATINA_WEEKLY: %v", err)
	}
	if c.Compress != backup.Plain && c.Compress != backup.Gzip {
		c.problem("PATINA_COMPRESS is %q, and must be none or gzip", string(c.Compress))
	}
	if c.Addr != "" && !strings.Contains(c.Addr, ":") {
		c.problem("PATINA_ADDR is %q, and must name a port, as in :8080 or 127.0.0.1:8080", c.Addr)
	}
}

func (c *Config) checkBucket() {
	u, err := url.Parse(c.Bucket)
	if err != nil {
		c.problem("PATINA_BUCKET cannot be read as a URL")
		return
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			c.problem("PATINA_BUCKET: a folder is written with its whole path, as file:///var/lib/patina/bucket")
		}
	case "s3":
		if u.Host == "" {
			c.problem("PATINA_BUCKET names no bucket: s3://bucket?endpoint=https://…&region=…")
		}
	case "r2":
		if u.Host == "" {
			c.problem("PATINA_BUCKET names no bucket: r2://bucket")
		}
		for name, v := range map[string]string{"R2_ACCESS_KEY_ID": c.R2AccessKeyID, "R2_SECRET_ACCESS_KEY": c.R2SecretAccessKey.Reveal(), "CLOUDFLARE_ACCOUNT_ID": c.AccountID} {
			if v == "" {
				c.problem("%s is not set, and an r2:// bucket needs it", name)
			}
		}
	default:
		c.problem("PATINA_BUCKET must begin with r2://, s3:// or file://")
	}
	switch c.R2Jurisdiction {
	case "", "default", "eu", "fedramp":
	default:
		c.problem("R2_JURISDICTION is %q, and must be eu, fedramp or nothing", c.R2Jurisdiction)
	}
}

func (c *Config) checkURL(name, s string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		c.problem("%s must be an address such as https://patina.example.org", name)
	}
}
