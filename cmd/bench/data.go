package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // makes the test data
)

// database makes a SQLite file of about the given size, once: rows of a page
// view log, of posts, of measurements and of small files, so that every type of
// value takes its part.
func (b *bench) database(ctx context.Context, size int64) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("data-%d.sqlite", size>>20))
	if st, err := os.Stat(path); err == nil && st.Size() > size*9/10 {
		return filepath.Abs(path)
	}
	tmp := path + ".new"
	_ = os.Remove(tmp)
	db, err := sql.Open("sqlite", "file:"+tmp+"?_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=cache_size(-65536)")
	if err != nil {
		return "", err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{
		`CREATE TABLE view(id INTEGER PRIMARY KEY, at TEXT NOT NULL, path TEXT NOT NULL, agent TEXT, visitor INTEGER, took REAL)`,
		`CREATE TABLE post(id INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT UNIQUE, title TEXT, body TEXT, created_at INTEGER)`,
		`CREATE TABLE reading(sensor INTEGER, at INTEGER, value REAL, low REAL, high REAL, ok)`,
		`CREATE TABLE file(name TEXT PRIMARY KEY, bytes BLOB) WITHOUT ROWID`,
		`CREATE INDEX view_at ON view(visitor)`,
	} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return "", err
		}
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for n := 0; ; n++ {
		if err := fill(ctx, db, rnd, n); err != nil {
			return "", err
		}
		var bytes int64
		if err := db.QueryRowContext(ctx, `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&bytes); err != nil {
			return "", err
		}
		if bytes >= size {
			break
		}
	}
	if err := db.Close(); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

var words = []string{"moss", "grove", "patina", "copper", "bark", "leaf", "root", "acorn", "stone", "river", "it's", "café", "—", "lantern", "wren"}

func prose(rnd *rand.Rand, n int) string {
	b := make([]byte, 0, n+10)
	for len(b) < n {
		b = append(append(b, words[rnd.IntN(len(words))]...), " \n"[rnd.IntN(20)/19])
	}
	return string(b)
}

// fill adds one batch of rows: about 1 MiB.
func fill(ctx context.Context, db *sql.DB, rnd *rand.Rand, n int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	view, err1 := tx.PrepareContext(ctx, `INSERT INTO view(at, path, agent, visitor, took) VALUES(?, ?, ?, ?, ?)`)
	post, err2 := tx.PrepareContext(ctx, `INSERT INTO post(slug, title, body, created_at) VALUES(?, ?, ?, ?)`)
	reading, err3 := tx.PrepareContext(ctx, `INSERT INTO reading VALUES(?, ?, ?, ?, ?, ?)`)
	file, err4 := tx.PrepareContext(ctx, `INSERT INTO file VALUES(?, ?)`)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return err
		}
	}
	var failed error
	exec := func(s *sql.Stmt, args ...any) {
		if _, err := s.ExecContext(ctx, args...); err != nil && failed == nil {
			failed = err
		}
	}
	for i := range 2000 {
		exec(view, fmt.Sprintf("2026-11-%02dT%02d:%02d:%02dZ", 1+n%28, i%24, i%60, n%60), "/"+prose(rnd, 20), prose(rnd, 60), rnd.Int64N(1<<40), rnd.ExpFloat64())
	}
	for i := range 1500 {
		v := rnd.NormFloat64() * 20
		exec(reading, i%40, 1_700_000_000+int64(n)*1500+int64(i), v, v-1, v+1, i%2)
	}
	for i := range 300 {
		exec(post, fmt.Sprintf("post-%d-%d", n, i), prose(rnd, 40), prose(rnd, 1500), 1_700_000_000+n)
	}
	blob := make([]byte, 4000)
	for i := range 20 {
		for j := range blob {
			blob[j] = byte(rnd.Uint32())
		}
		exec(file, fmt.Sprintf("file-%d-%d.bin", n, i), blob)
	}
	if failed != nil {
		return failed
	}
	return tx.Commit()
}
