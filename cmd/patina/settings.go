package main

import (
	"fmt"
	"strings"
)

// setting is one variable of the environment, as docs/configuration.md tells it.
type setting struct {
	name, meaning string
	preset        string // its default, in Markdown; "" for none
}

// settings is every variable that loadConfig reads, in groups.
var settings = []struct {
	group string
	list  []setting
}{
	{"Where things are", []setting{
		{"DATABASE_URL", "Postgres: `postgres://user:password@host:5432/name`", "with `--embedded` and in the demo: one under `PATINA_DATA`"},
		{"PATINA_DATA", "folder of the embedded parts", "`./data`"},
		{"PATINA_BUCKET", "`r2://bucket`, `s3://bucket?endpoint=…&region=…` or `file:///path`", "`file://$PATINA_DATA/bucket`"},
		{"R2_ACCESS_KEY_ID", "the access key of an `r2://` bucket; an `s3://` bucket takes `AWS_ACCESS_KEY_ID` and what else the AWS SDK reads", ""},
		{"R2_SECRET_ACCESS_KEY", "its secret", ""},
		{"R2_JURISDICTION", "`eu` or `fedramp`", ""},
	}},
	{"The account", []setting{
		{"CLOUDFLARE_ACCOUNT_ID", "the account whose databases are backed up; an `r2://` bucket is in it too", ""},
		{"CLOUDFLARE_API_TOKEN", "an API token of that account that may query D1", ""},
		{"CLOUDFLARE_RESTORE_TOKEN", "what restores write with, so that `CLOUDFLARE_API_TOKEN` can be read-only", "`CLOUDFLARE_API_TOKEN`"},
		{"CLOUDFLARE_BASE_URL", "another address of Cloudflare's API", "Cloudflare's"},
		{"PATINA_API_REQUESTS", "requests to Cloudflare's API in 5 minutes, over all processes. Cloudflare takes 1,200 of a token's owner, whatever else uses the account included, and then none for 5 minutes", "`960`"},
	}},
	{"The dashboard", []setting{
		{"PATINA_ADDR", "where the dashboard listens", "`:8080`"},
		{"PATINA_PUBLIC_URL", "how people reach it; `https` makes cookies Secure and sends HSTS", "`http://localhost:8080`"},
		{"PATINA_SECRET", "32 bytes in base64: seals the addresses of alert channels and signs the link that makes the first admin, and keys the hashes of redaction; `openssl rand -base64 32` makes one", "with `--embedded` and in the demo: made once under `PATINA_DATA`"},
		{"PATINA_SECRET_PREVIOUS", "the secret of before, which still opens what it sealed while that is sealed anew at start", ""},
		{"PATINA_BOOTSTRAP_TOKEN", "at the first start an admin API token of this value is made; revoked, it does not come back", ""},
		{"PATINA_TRUSTED_PROXIES", "addresses and networks whose X-Forwarded-For counts", ""},
		{"PATINA_OIDC_ISSUER", "an OpenID Connect issuer that people may sign in with too, as it names itself: `https://id.example.org`", ""},
		{"PATINA_OIDC_CLIENT_ID", "how the issuer knows Patina", ""},
		{"PATINA_OIDC_CLIENT_SECRET", "the client's secret; without one, PKCE alone protects the code", ""},
		{"PATINA_OIDC_ALLOWED", "whom the issuer lets in, and as what: see [Single sign-on](operating.md#single-sign-on)", ""},
	}},
	{"When, and how much", []setting{
		{"PATINA_NIGHTLY", "when the nightly run is due, as a cron spec in UTC; one that is due twice on a date is refused", "`0 3 * * *`"},
		{"PATINA_WEEKLY", "when the weekly archive is due, as a cron spec in UTC: of the week that ends on that Sunday, or on the last before it", "`0 4 * * 0`"},
		{"PATINA_DRILL", "when the drill is due, as a cron spec in UTC; as it stands, the first of the month", "`0 6 1 * *`"},
		{"PATINA_CONCURRENCY", "exports at once, over all processes", "`3`"},
		{"PATINA_STOP_TIMEOUT", "what running exports get to finish when a process is told to stop; keep it half a minute below the platform's kill timeout", "`4m`"},
		{"PATINA_COMPRESS", "`none`, or `gzip`: dumps are stored as `.sql.gz`, a gzip member a table", "`none`"},
		{"PATINA_KEEP_DAILY", "how long a daily keeps an object of its own, once an archive holds it: days or weeks, `7d`", "an admin says, or `7d`"},
		{"PATINA_KEEP_WEEKLY", "how long a weekly archive stays: whole weeks, `12w`", "an admin says, or `12w`"},
	}},
	{"Being told", []setting{
		{"DISCORD_WEBHOOK_URL", "a Discord webhook: an alert channel that is made at the first start, told of successes too; deleted in the dashboard, it does not come back", ""},
		{"PATINA_WEBHOOK_URL", "the same for a signed webhook", ""},
		{"PATINA_WEBHOOK_ALLOW", "hosts and networks that alerts may reach although they are private, also by http", ""},
		{"PATINA_SUMMARY_AT", "hour of the daily summary, UTC", "`08:00`"},
		{"PATINA_HEARTBEAT_URL", "fetched when a scheduled backup succeeded, with `/start` and `/fail` behind its path when one starts and fails", ""},
		{"PATINA_METRICS_TOKEN", "bearer token of `/metrics`; without it there are no metrics", ""},
	}},
}

// fileKeys is every key of patina.toml.
var fileKeys = []setting{
	{"database.name", "as in the account", ""},
	{"database.id", "its UUID; left out, it is looked up by name", ""},
	{"database.binding", "what the Worker calls it, for people", ""},
	{"database.description", "what it is for, for people", ""},
	{"database.priority", "`critical`, `high` or `normal`: critical ones are exported first", "`normal`"},
	{"database.estimated_size", "such as `\"212 KB\"`, until the first backup tells", ""},
	{"database.objective", "the age that its newest proven backup may reach, such as `\"26h\"`", "`26h`"},
	{"database.redact", "columns whose values no backup holds: a list of rules such as `\"users.password_hash = null\"` or `\"sessions.token = hash\"`; an empty list says that nothing is left out", "the dashboard says"},
	{"discovery.include", "globs over the names of databases that nobody listed; none means every one", "`[]`"},
	{"discovery.exclude", "globs over names that are left out", "`[]`"},
}

// configurationPage is docs/configuration.md.
func configurationPage() string {
	var b strings.Builder
	b.WriteString(`# Configuration

The environment says everything, and ` + "`patina.toml`" + ` what is a list. Every problem is reported at once at start, and no secret is ever printed. What the environment sets is read-only in the dashboard.

This page is made from ` + "[settings.go](../cmd/patina/settings.go)" + ` by ` + "`go test ./cmd/patina -run TestConfigurationPage -update`" + `.
`)
	for _, g := range settings {
		fmt.Fprintf(&b, "\n## %s\n\n| name | meaning | default |\n|---|---|---|\n", g.group)
		for _, s := range g.list {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, s.meaning, none(s.preset))
		}
	}
	b.WriteString("\n## patina.toml\n\nRead from the working folder, or from where `--config` says. A key that is not known is refused, for it would silently do nothing. Each database is a table `[[database]]`; [grove.toml](grove.toml) is an example.\n\n| key | meaning | default |\n|---|---|---|\n")
	for _, s := range fileKeys {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, s.meaning, none(s.preset))
	}
	b.WriteString("\nA database that nobody listed is found daily, or by `patina databases sync`, and protected from then on, unless `[discovery]` leaves it out.\n")
	return b.String()
}

func none(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
