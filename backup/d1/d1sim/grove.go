package d1sim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/AutumnsGrove/Patina/backup"
)

// groveDatabase is one of the six databases of the demo.
type groveDatabase struct {
	backup.Database
	schema []string
	// fill adds the n-th batch of rows, small enough to meet a size closely.
	fill func(g *grower, n int)
}

// groveCreated is when the demo's databases were made: always the same, since
// everything in them is.
var groveCreated = time.Date(2026, 1, 12, 9, 30, 0, 0, time.UTC)

// GroveDatabases describes the six databases of the demo, as a configuration
// would.
func GroveDatabases() []backup.Database {
	out := make([]backup.Database, len(grove))
	for i, g := range grove {
		out[i] = g.Database
	}
	return out
}

// Grove makes the demo's databases where they are missing, each time the same
// and of about the sizes that they have in life.
func Grove(ctx context.Context, a *Account) error {
	for _, g := range grove {
		if _, err := a.find(g.ID); err == nil {
			continue
		}
		if err := a.create(g.ID, g.Name); err != nil {
			return fmt.Errorf("make %s: %w", g.Name, err)
		}
		if err := a.grow(ctx, g); err != nil {
			return errors.Join(fmt.Errorf("make %s: %w", g.Name, err), a.Delete(g.ID))
		}
	}
	return nil
}

// grow makes the schema and adds rows until the database has its size.
func (a *Account) grow(ctx context.Context, g groveDatabase) error {
	d, err := a.find(g.ID)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	w := &grower{ctx: ctx, tx: tx, rnd: rand.New(rand.NewPCG(uint64(len(g.Name)), 2026)), at: groveCreated}
	w.exec(`CREATE TABLE d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`)
	w.exec(`INSERT INTO d1_migrations(name, applied_at) VALUES('0001_init.sql', '2026-01-12 09:30:00'), ('0002_indexes.sql', '2026-03-02 18:05:11')`)
	for _, s := range g.schema {
		w.exec(s)
	}
	for n := 0; w.err == nil && w.size() < g.EstimatedSize*97/100; n++ {
		g.fill(w, n)
	}
	if w.err != nil {
		return w.err
	}
	return tx.Commit()
}

// grower writes rows; it keeps the first error, and lets time pass.
type grower struct {
	ctx context.Context
	tx  *sql.Tx
	rnd *rand.Rand
	at  time.Time
	err error
}

func (g *grower) exec(query string, args ...any) {
	if g.err == nil {
		if _, err := g.tx.ExecContext(g.ctx, query, args...); err != nil {
			g.err = fmt.Errorf("%.60s: %w", query, err)
		}
	}
}

// size is the database's size in bytes, as its pages stand.
func (g *grower) size() int64 {
	var n int64
	if g.err == nil {
		g.err = g.tx.QueryRowContext(g.ctx, `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&n)
	}
	return n
}

// now gives the next moment, as text.
func (g *grower) now() string {
	g.at = g.at.Add(time.Duration(1+g.rnd.IntN(5400)) * time.Second)
	return g.at.Format(time.RFC3339)
}

func (g *grower) unix() int64 {
	g.now()
	return g.at.Unix()
}

func (g *grower) pick(from ...string) string { return from[g.rnd.IntN(len(from))] }

func (g *grower) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[g.rnd.IntN(16)]
	}
	return string(b)
}

func (g *grower) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rnd.Uint32())
	}
	return b
}

var groveWords = strings.Fields(`moss grove patina copper bark leaf root acorn stone river lantern wren fern hollow lichen
	path bench rain mist orchard thicket meadow willow cedar birch hearth window letter garden bridge café naïve 🌿 — autumn`)

// prose gives about n bytes of words, the first with a capital.
func (g *grower) prose(n int) string {
	var b strings.Builder
	for b.Len() < n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(g.pick(groveWords...))
	}
	first, n := utf8.DecodeRuneInString(b.String())
	return string(unicode.ToUpper(first)) + b.String()[n:]
}

func (g *grower) slug(n int) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '-' {
			return r
		}
		if r == ' ' {
			return '-'
		}
		return -1
	}, strings.ToLower(g.prose(n))), "-")
}

// maybe gives nil in one of n cases.
func (g *grower) maybe(n int, v any) any {
	if g.rnd.IntN(n) == 0 {
		return nil
	}
	return v
}

// Activity lets some life pass in the demo's databases: a few rows that depend
// on the time alone, so that the next backup differs from the last.
func Activity(ctx context.Context, a *Account, at time.Time) error {
	day := at.UTC().Format(time.RFC3339)
	for _, w := range []struct{ name, query string }{
		{"groveauth", `INSERT INTO sessions(id, user_id, token_hash, created_at, expires_at) SELECT 'live-' || ?1, id, 'demo-not-a-secret-' || ?1, ?1, ?1 FROM users ORDER BY id LIMIT 1`},
		{"scout-db", `INSERT INTO searches(user_id, query, results, took_ms, created_at) SELECT id, 'patina ' || ?1, 3, 41.5, ?1 FROM accounts ORDER BY id LIMIT 1`},
		{"grove-domain-jobs", `UPDATE jobs SET updated_at = ?1, attempts = attempts + 1 WHERE id = (SELECT min(id) FROM jobs)`},
	} {
		for _, d := range a.Databases() {
			if d.Name != w.name {
				continue
			}
			if err := a.Exec(d.ID, w.query, day); err != nil {
				return fmt.Errorf("let time pass in %s: %w", d.Name, err)
			}
		}
	}
	return ctx.Err()
}
