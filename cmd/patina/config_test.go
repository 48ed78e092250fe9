package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
)

const canary = "canary-3f9d1c7a5b2e4d68"

func TestSecretsShowNothing(t *testing.T) {
	t.Parallel()
	key := Secret(canary)
	cfg := &Config{DatabaseURL: key, APIToken: key, R2SecretAccessKey: key, BootstrapToken: key, Secret: key}
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+"\n", key, cfg, *cfg)
	}
	for _, v := range []any{key, cfg, map[string]Secret{"k": key}, []Secret{key}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&shown, nil), slog.NewJSONHandler(&shown, nil)} {
		slog.New(h).Info("configured", "secret", key, "config", cfg, "group", slog.GroupValue(slog.Any("k", key)))
	}
	fmt.Fprintln(&shown, fmt.Errorf("sign in with %v: %w", key, errors.New("no")))
	hexed := fmt.Sprintf("%x", canary)
	if s := shown.String(); strings.Contains(s, canary) || strings.Contains(strings.ToLower(s), hexed) {
		t.Errorf("a secret shows:\n%s", s)
	}
	if !strings.Contains(shown.String(), redacted) {
		t.Error("a secret that is set should show that it is")
	}
	if key.Reveal() != canary || fmt.Sprint(Secret("")) != "" {
		t.Error("Reveal gives the secret, and an empty one shows as empty")
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	t.Parallel()
	e := env{
		"DATABASE_URL": "postgres://patina:" + canary + "@127.0.0.1:1/none?connect_timeout=1", "PATINA_DATA": t.TempDir(),
		"PATINA_BUCKET": "s3://bucket?endpoint=http://127.0.0.1:1&region=auto", "R2_SECRET_ACCESS_KEY": canary,
		"CLOUDFLARE_ACCOUNT_ID": "acc", "CLOUDFLARE_API_TOKEN": canary, "CLOUDFLARE_BASE_URL": "http://127.0.0.1:1",
		"PATINA_BOOTSTRAP_TOKEN": canary, "PATINA_SECRET": "not base64 " + canary,
	}
	for _, args := range [][]string{
		{"serve"},
		{"migrate"},
		{"migrate", "status"},
		{"databases"},
		{"databases", "sync"},
		{"backup", "--all"},
		{"export", "groveauth"},
		{"list"},
		{"list", "--json"},
		{"download", "groveauth"},
		{"user"},
		{"token"},
		{"version"},
	} {
		a := patina(t, e, args...)
		if args[0] != "version" && a.code == exitDone {
			t.Errorf("%v: nothing answers at that address, and it says all is well", args)
		}
		if strings.Contains(a.out+a.err, canary) {
			t.Errorf("%v prints a secret:\n%s%s", args, a.out, a.err)
		}
	}
	good := env{}
	for k, v := range e {
		good[k] = v
	}
	good["PATINA_SECRET"] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	if a := patina(t, good, "list").want(t, exitError); strings.Contains(a.out+a.err, canary) {
		t.Errorf("the error of a refused connection shows the password:\n%s", a.err)
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "p.toml")
	write(t, file, `
		colour = "green"
		[[database]]
		name = "a"
		id = "not-a-uuid"
		priority = "urgent"
		estimated_size = "much"
		objective = "soon"
		[[database]]
		name = "a"
		[[database]]
		binding = "X"
		[discovery]
		include = ["[a"]
	`)
	cfg := loadConfig(env{
		"DATABASE_URL": "mysql://x", "PATINA_BUCKET": "ftp://x", "CLOUDFLARE_ACCOUNT_ID": "a/b", "CLOUDFLARE_BASE_URL": "nowhere",
		"PATINA_SECRET": "short", "PATINA_BOOTSTRAP_TOKEN": "short", "PATINA_NIGHTLY": "0 * * * *", "PATINA_WEEKLY": "sunday", "PATINA_COMPRESS": "zstd", "PATINA_CONCURRENCY": "many", "PATINA_API_REQUESTS": "0", "PATINA_STOP_TIMEOUT": "soon",
		"PATINA_TRUSTED_PROXIES": "10.0.0.0/8, nobody", "PATINA_ADDR": "8080", "PATINA_PUBLIC_URL": "ftp://x", "R2_JURISDICTION": "moon", "PATINA_DRILL": "monthly",
		"PATINA_KEEP_DAILY": "0d", "PATINA_KEEP_WEEKLY": "10d",
	}.lookup, file)
	var config *configError
	if err := cfg.Validate(needAccount); !errors.As(err, &config) {
		t.Fatalf("got %v", err)
	}
	has(t, config.Error(), "DATABASE_URL", "PATINA_BUCKET", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_BASE_URL", "PATINA_SECRET",
		"PATINA_BOOTSTRAP_TOKEN", "PATINA_NIGHTLY", "PATINA_WEEKLY", "PATINA_COMPRESS", "PATINA_DRILL", "PATINA_KEEP_DAILY", "PATINA_KEEP_WEEKLY", "PATINA_CONCURRENCY", "PATINA_API_REQUESTS", "PATINA_STOP_TIMEOUT", "PATINA_TRUSTED_PROXIES", "PATINA_ADDR", "PATINA_PUBLIC_URL",
		"R2_JURISDICTION", "CLOUDFLARE_API_TOKEN is not set", "colour is no setting", "no UUID", "priority", "estimated_size", "objective",
		"named twice", "it has no name", "discovery")
}

func TestR2NeedsItsKeys(t *testing.T) {
	t.Parallel()
	err := loadConfig(env{"PATINA_BUCKET": "r2://grove"}.lookup, "").Validate()
	if err == nil {
		t.Fatal("an r2:// bucket without keys passed")
	}
	has(t, err.Error(), "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "CLOUDFLARE_ACCOUNT_ID")
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := loadConfig(env{"PATINA_DATA": dir, "PATINA_TRUSTED_PROXIES": "10.1.2.3 192.0.2.0/24"}.lookup, "")
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.Bucket != "file://"+dir+"/bucket" || cfg.Concurrency != 3 || cfg.Nightly != "0 3 * * *" || cfg.Weekly != "0 4 * * 0" || cfg.Compress != "none" {
		t.Errorf("defaults: %+v", cfg)
	}
	if len(cfg.TrustedProxies) != 2 || cfg.TrustedProxies[0].String() != "10.1.2.3/32" {
		t.Errorf("proxies: %v", cfg.TrustedProxies)
	}
}

func TestGroveExample(t *testing.T) {
	t.Parallel()
	cfg := loadConfig(env{}.lookup, filepath.Join("..", "..", "docs", "grove.toml"))
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	want := map[string]backup.Priority{
		"groveauth": backup.Critical, "scout-db": backup.Critical, "grove-engine-db": backup.Critical,
		"autumnsgrove-posts": backup.High, "autumnsgrove-git-stats": backup.Normal, "grove-domain-jobs": backup.Normal,
	}
	if len(cfg.Databases) != len(want) {
		t.Errorf("%d databases, want %d", len(cfg.Databases), len(want))
	}
	for _, db := range cfg.Databases {
		if want[db.Name] != db.Priority || db.EstimatedSize < 40_000 || db.Binding == "" || db.Description == "" {
			t.Errorf("%+v", db)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
