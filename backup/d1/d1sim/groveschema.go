package d1sim

import (
	"fmt"

	"github.com/AutumnsGrove/Patina/backup"
)

func describe(id, name, binding, description string, p backup.Priority, kb int64) backup.Database {
	return backup.Database{
		ID: id, Name: name, Binding: binding, Description: description, Priority: p, EstimatedSize: kb << 10,
		Origin: backup.FromConfig, Objective: backup.DefaultObjective, FirstSeenAt: groveCreated, LastSeenAt: groveCreated,
	}
}

// grove holds the demo's six databases, with the names, priorities and sizes of
// Grove's own. All that is in them is made up.
var grove = []groveDatabase{
	{
		describe("6ae2b03c-40dd-499e-ab31-017f78989b60", "groveauth", "GROVEAUTH_DB", "Authentication, OAuth (Heartwood)", backup.Critical, 212),
		[]string{
			`CREATE TABLE users (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE COLLATE NOCASE,
  name TEXT,
  password_hash TEXT NOT NULL, -- argon2id
  avatar BLOB,
  is_admin INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
  created_at TEXT NOT NULL
)`,
			`CREATE TABLE oauth_clients (id TEXT PRIMARY KEY, name TEXT NOT NULL, secret_hash TEXT NOT NULL, redirect_uris TEXT NOT NULL CHECK (json_valid(redirect_uris)), created_at TEXT NOT NULL) WITHOUT ROWID`,
			`CREATE TABLE sessions (id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, token_hash TEXT NOT NULL, ip TEXT, user_agent TEXT, created_at TEXT NOT NULL, expires_at TEXT NOT NULL)`,
			`CREATE TABLE auth_codes (code TEXT PRIMARY KEY, client_id TEXT NOT NULL REFERENCES oauth_clients(id), user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, scope TEXT, used_at TEXT)`,
			`CREATE TABLE audit_log (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT REFERENCES users(id) ON DELETE SET NULL, event TEXT NOT NULL, detail TEXT, at TEXT NOT NULL)`,
			`CREATE INDEX sessions_user ON sessions(user_id, expires_at DESC)`,
			`CREATE INDEX audit_log_failed ON audit_log(at) WHERE event = 'sign_in_failed'`,
			`CREATE VIEW active_sessions AS SELECT s.id, u.email, s.expires_at FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.expires_at > datetime('now')`,
			`CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
  INSERT INTO audit_log(event, detail, at) VALUES('user_deleted', old.email, datetime('now'));
END`,
			`INSERT INTO oauth_clients VALUES('lattice', 'Lattice', 'demo-not-a-secret', '["https://lattice.example/callback"]', '2026-01-12T09:31:00Z'), ('forage', 'Forage', 'demo-not-a-secret', '["https://forage.example/callback"]', '2026-02-01T12:00:00Z')`,
		},
		func(g *grower, n int) {
			id := fmt.Sprintf("usr_%06d", n)
			g.exec(`INSERT INTO users VALUES(?, ?, ?, ?, ?, ?, ?)`, id, fmt.Sprintf("wanderer%d@example.com", n), g.maybe(9, g.prose(12)), "demo-not-a-secret-"+g.hex(64), g.maybe(2, g.bytes(120)), n%17/16, g.now())
			for i := range 1 + g.rnd.IntN(3) {
				g.exec(`INSERT INTO sessions VALUES(?, ?, ?, ?, ?, ?, ?)`, fmt.Sprintf("ses_%06d_%d", n, i), id, "demo-not-a-secret-"+g.hex(40), g.maybe(5, "203.0.113."+fmt.Sprint(n%250)), g.pick("Firefox", "Safari", "curl/8.5"), g.now(), g.now())
			}
			if n%5 == 0 {
				g.exec(`INSERT INTO auth_codes VALUES(?, ?, ?, ?, ?)`, "demo-not-a-secret-"+g.hex(24), g.pick("lattice", "forage"), id, g.maybe(3, "openid profile"), g.maybe(2, g.now()))
			}
			g.exec(`INSERT INTO audit_log(user_id, event, detail, at) VALUES(?, ?, ?, ?)`, id, g.pick("sign_in", "sign_in", "sign_in_failed", "password_changed"), g.maybe(2, `{"note":"it's fine"}`), g.now())
		},
	},
	{
		describe("0b7c1f4e-93a5-4d0e-8c1b-2f6de1c9a701", "scout-db", "SCOUT_DB", "Searches, credits, referrals", backup.Critical, 364),
		[]string{
			`CREATE TABLE accounts (id INTEGER PRIMARY KEY, handle TEXT NOT NULL UNIQUE, referred_by INTEGER REFERENCES accounts(id), credits REAL NOT NULL DEFAULT 0, created_at TEXT NOT NULL)`,
			`CREATE TABLE searches (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE, query TEXT NOT NULL, filters TEXT, results INTEGER, took_ms REAL, created_at TEXT NOT NULL)`,
			`CREATE TABLE credit_ledger (account_id INTEGER NOT NULL REFERENCES accounts(id), seq INTEGER NOT NULL, delta REAL NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (account_id, seq)) WITHOUT ROWID`,
			`CREATE TABLE referrals (code TEXT, account_id INTEGER REFERENCES accounts(id), used_count INTEGER DEFAULT 0)`,
			`CREATE UNIQUE INDEX referrals_code ON referrals(code COLLATE NOCASE)`,
			`CREATE INDEX searches_user ON searches(user_id, created_at)`,
			`CREATE INDEX searches_slow ON searches(took_ms) WHERE took_ms > 1000`,
			`CREATE VIEW balances AS SELECT account_id, sum(delta) AS credits FROM credit_ledger GROUP BY account_id`,
			`CREATE TRIGGER ledger_applies AFTER INSERT ON credit_ledger BEGIN UPDATE accounts SET credits = credits + new.delta WHERE id = new.account_id; END`,
		},
		func(g *grower, n int) {
			g.exec(`INSERT INTO accounts VALUES(?, ?, ?, 0, ?)`, n+1, fmt.Sprintf("%s-%d", g.slug(8), n), g.maybe(3, 1+g.rnd.IntN(n+1)), g.now())
			for i := range 3 {
				g.exec(`INSERT INTO credit_ledger VALUES(?, ?, ?, ?, ?)`, n+1, i, float64(g.rnd.IntN(2000)-500)/100, g.pick("signup", "search", "referral", "gift — thank you"), g.unix())
			}
			for range 4 {
				g.exec(`INSERT INTO searches(user_id, query, filters, results, took_ms, created_at) VALUES(?, ?, ?, ?, ?, ?)`, n+1, g.prose(25), g.maybe(2, `{"since":"2026-01-01","sort":"new"}`), g.rnd.IntN(200), g.rnd.ExpFloat64()*300, g.now())
			}
			g.exec(`INSERT INTO referrals VALUES(?, ?, ?)`, g.hex(10), n+1, g.rnd.IntN(4))
		},
	},
	{
		describe("f3d51b77-7c1e-4b52-9f0a-5be2c8a4d310", "grove-engine-db", "GROVE_ENGINE_DB", "Core platform, multi-tenant data (Lattice)", backup.Critical, 180),
		[]string{
			`CREATE TABLE tenants (id TEXT PRIMARY KEY, subdomain TEXT NOT NULL UNIQUE, plan TEXT NOT NULL DEFAULT 'seedling', settings TEXT NOT NULL DEFAULT '{}', theme TEXT GENERATED ALWAYS AS (json_extract(settings, '$.theme')) VIRTUAL, created_at INTEGER NOT NULL)`,
			`CREATE TABLE posts (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE, slug TEXT NOT NULL, title TEXT NOT NULL, markdown TEXT NOT NULL, published_at INTEGER, UNIQUE (tenant_id, slug))`,
			`CREATE TABLE pages (tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE, path TEXT NOT NULL, body TEXT, PRIMARY KEY (tenant_id, path)) WITHOUT ROWID`,
			`CREATE TABLE media (id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), mime TEXT, bytes INTEGER, thumbnail BLOB, alt TEXT)`,
			`CREATE INDEX posts_published ON posts(tenant_id, published_at DESC) WHERE published_at IS NOT NULL`,
			`CREATE VIEW published AS SELECT tenant_id, slug, title FROM posts WHERE published_at IS NOT NULL`,
		},
		func(g *grower, n int) {
			id := fmt.Sprintf("tenant-%03d", n/4)
			if n%4 == 0 {
				g.exec(`INSERT INTO tenants(id, subdomain, plan, settings, created_at) VALUES(?, ?, ?, ?, ?)`, id, fmt.Sprintf("%s%d", g.slug(6), n), g.pick("seedling", "sapling", "oak"), `{"theme":"`+g.pick("bark", "paper", "moss")+`","fonts":["Lexend"]}`, g.unix())
				g.exec(`INSERT INTO pages VALUES(?, '/about', ?), (?, '/', NULL)`, id, g.prose(200), id)
			}
			g.exec(`INSERT INTO posts(tenant_id, slug, title, markdown, published_at) VALUES(?, ?, ?, ?, ?)`, id, fmt.Sprintf("%s-%d", g.slug(10), n), g.prose(20), "# "+g.prose(20)+"\n\n"+g.prose(500)+"\n\n> it's *quiet* here\n", g.maybe(4, g.unix()))
			g.exec(`INSERT INTO media VALUES(?, ?, 'image/webp', ?, ?, ?)`, "med_"+g.hex(12), id, 1000+g.rnd.IntN(90000), g.bytes(160), g.maybe(3, g.prose(30)))
		},
	},
	{
		describe("a9d0c5e2-1f38-4a6b-b7c4-80e13d5f6a24", "autumnsgrove-posts", "POSTS_DB", "Blog posts", backup.High, 118),
		[]string{
			`CREATE TABLE posts (id INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT NOT NULL UNIQUE, title TEXT NOT NULL, body TEXT NOT NULL, tags TEXT NOT NULL DEFAULT '[]', created_at TEXT NOT NULL, updated_at TEXT)`,
			`CREATE VIRTUAL TABLE posts_fts USING fts5(title, body, content='posts', content_rowid='id', tokenize='porter unicode61')`,
			`CREATE TRIGGER posts_ai AFTER INSERT ON posts BEGIN
  INSERT INTO posts_fts(rowid, title, body) VALUES (new.id, new.title, new.body);
END`,
			`CREATE TRIGGER posts_ad AFTER DELETE ON posts BEGIN
  INSERT INTO posts_fts(posts_fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
END`,
			`CREATE TRIGGER posts_au AFTER UPDATE ON posts BEGIN
  INSERT INTO posts_fts(posts_fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
  INSERT INTO posts_fts(rowid, title, body) VALUES (new.id, new.title, new.body);
END`,
			`CREATE TABLE views (post_id INTEGER NOT NULL REFERENCES posts(id), day TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (post_id, day)) WITHOUT ROWID`,
		},
		func(g *grower, n int) {
			g.exec(`INSERT INTO posts(slug, title, body, tags, created_at, updated_at) VALUES(?, ?, ?, ?, ?, ?)`, fmt.Sprintf("%s-%d", g.slug(14), n), g.prose(24), "## "+g.prose(20)+"\r\n\r\n"+g.prose(700)+"\n\n```sql\nSELECT 'it''s'; -- done\nCOMMIT;\n```\n", `["`+g.pick("moss", "code", "tea")+`"]`, g.now(), g.maybe(2, g.now()))
			for i := range 4 {
				g.exec(`INSERT INTO views VALUES(?, ?, ?)`, n+1, fmt.Sprintf("2026-11-%02d", 10+i), g.rnd.IntN(500))
			}
		},
	},
	{
		describe("3c8e72d9-5ab0-4e17-9d63-f1c0a2b48e55", "autumnsgrove-git-stats", "GIT_STATS_DB", "Git statistics", backup.Normal, 335),
		[]string{
			`CREATE TABLE repositories (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, stars INTEGER, UNIQUE (owner, name))`,
			`CREATE TABLE daily_stats (repository_id INTEGER NOT NULL REFERENCES repositories(id), day TEXT NOT NULL, commits INTEGER NOT NULL, added INTEGER NOT NULL, removed INTEGER NOT NULL, churn REAL AS (CAST(removed AS REAL) / max(added, 1)) STORED, PRIMARY KEY (repository_id, day))`,
			`CREATE TABLE commits (sha BLOB PRIMARY KEY, repository_id INTEGER NOT NULL REFERENCES repositories(id), author TEXT, message TEXT, at INTEGER NOT NULL)`,
			`CREATE INDEX commits_at ON commits(repository_id, at DESC)`,
			`CREATE TABLE "language share" (repository_id INTEGER, language TEXT, "share %" REAL)`,
		},
		func(g *grower, n int) {
			repository := n/40 + 1
			if n%40 == 0 {
				g.exec(`INSERT INTO repositories VALUES(?, 'AutumnsGrove', ?, ?)`, repository, fmt.Sprintf("%s-%d", g.slug(8), repository), g.maybe(4, g.rnd.IntN(90)))
				g.exec(`INSERT INTO "language share" VALUES(?, 'Go', ?), (?, 'TypeScript', ?)`, repository, g.rnd.Float64()*100, repository, g.rnd.Float64()*100)
			}
			g.exec(`INSERT INTO daily_stats(repository_id, day, commits, added, removed) VALUES(?, ?, ?, ?, ?)`, repository, groveCreated.AddDate(0, 0, n%40).Format("2006-01-02"), g.rnd.IntN(30), g.rnd.IntN(3000), g.rnd.IntN(2000))
			for range 3 {
				g.exec(`INSERT INTO commits VALUES(?, ?, ?, ?, ?)`, g.bytes(20), repository, g.maybe(20, g.pick("autumn", "wren", "bot[ci]")), g.prose(45), g.unix())
			}
		},
	},
	{
		describe("d41f8b60-e27c-4c93-a5d8-6b0937fe1c92", "grove-domain-jobs", "DOMAIN_JOBS_DB", "Domain search jobs (Forage/Acorn)", backup.Normal, 45),
		[]string{
			`CREATE TABLE jobs (id INTEGER PRIMARY KEY, client TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'complete', 'failed')), quiz TEXT NOT NULL CHECK (json_valid(quiz)), attempts INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, updated_at TEXT)`,
			`CREATE TABLE results (job_id INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, domain TEXT NOT NULL, score REAL, price_cents INTEGER, available)`,
			`CREATE INDEX results_job ON results(job_id, score DESC)`,
		},
		func(g *grower, n int) {
			g.exec(`INSERT INTO jobs VALUES(?, ?, ?, ?, ?, ?, ?)`, n+1, g.prose(14), g.pick("pending", "running", "complete", "complete", "failed"), `{"vibe":["`+g.pick("calm", "bold")+`"],"tlds":["dev","place"],"avoid":"it's"}`, g.rnd.IntN(3), g.now(), g.maybe(3, g.now()))
			for range 4 {
				g.exec(`INSERT INTO results VALUES(?, ?, ?, ?, ?)`, n+1, g.slug(9)+g.pick(".dev", ".place", ".café"), g.maybe(6, g.rnd.Float64()), g.maybe(4, 900+g.rnd.IntN(4000)), g.pick("yes", "no"))
			}
		},
	},
}
