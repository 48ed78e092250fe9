package d1test_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

// grove is a database whose other tables hang on users.
var grove = []string{
	`CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, boss REFERENCES users(id) ON DELETE CASCADE, name TEXT NOT NULL CHECK (users.name <> ''), note)`,
	`CREATE UNIQUE INDEX users_name ON users(name)`,
	`CREATE TABLE posts(id INTEGER PRIMARY KEY AUTOINCREMENT, author NOT NULL REFERENCES users(id) ON DELETE CASCADE, name REFERENCES users(name) ON UPDATE CASCADE)`,
	`CREATE TABLE likes(post REFERENCES posts ON DELETE CASCADE, by REFERENCES users ON DELETE SET NULL)`,
	`INSERT INTO users VALUES(1, NULL, 'bob', replace(hex(zeroblob(400000)), '00', 'é')), (2, 1, 'ada', NULL), (3, 2, 'cleo', replace(hex(zeroblob(49950)), '00', 'xy')), (70, 2, 'gone', 1)`,
	`DELETE FROM users WHERE id = 70`,
	`INSERT INTO posts VALUES(1, 1, 'bob'), (2, 2, 'ada')`,
	`INSERT INTO likes VALUES(1, 3), (2, 1)`,
	`CREATE TRIGGER users_note AFTER UPDATE OF name ON users BEGIN UPDATE users SET note = 'was ' || old.name WHERE id = new.id; END`,
	`CREATE VIEW names AS SELECT name FROM users`,
	`CREATE VIRTUAL TABLE search USING fts5(name, content='users', content_rowid='id')`,
	`INSERT INTO search(search) VALUES('rebuild')`,
}

// TestOneTableBeside loads one table of a dump into the database that it came
// from, by D1's importer, in one transaction and in pieces. Loaded over the old
// one it would empty what references it; beside it nothing else changes.
func TestOneTableBeside(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	for name, prefix := range map[string]string{"one transaction": "", "pieces": d1test.Pieces} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, twin := engine.create(t, prefix+"beside"), engine.create(t, "beside twin of "+name)
			for _, db := range []string{id, twin} {
				engine.exec(t, db, grove...)
			}
			_, text := engine.copyOf(t, id, folder(t), whole)
			var sql bytes.Buffer
			as := "users_restored_2026-11-23"
			if err := dump.OneTable(&sql, bytes.NewReader(text), "users", dump.TableOptions{ForD1: true, As: as}); err != nil {
				t.Fatal(err)
			}
			if _, err := engine.load(t, id, sql.Bytes()); err != nil {
				t.Fatal(err)
			}
			ask := askD1(engine.Client, id)
			rows := func(query string) [][]any {
				t.Helper()
				found, err := ask(t.Context(), query)
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			const columns = `SELECT id, boss, name, typeof(note), octet_length(note), hex(substr(note, 1, 300)), hex(substr(note, -300)) FROM `
			old, restored := rows(columns+`users`), rows(columns+`"`+as+`"`)
			if len(old) != 3 || !slices.EqualFunc(old, restored, slices.Equal) {
				t.Errorf("the restored table holds\n%v\nand the old one\n%v", restored, old)
			}
			if got := show(rows(`SELECT seq FROM sqlite_sequence WHERE name LIKE 'users%'`)); !strings.Contains(got, "70") || strings.Contains(got, "3") {
				t.Errorf("the sequences are %s", got)
			}
			engine.exec(t, id, `UPDATE "`+as+`" SET name = 'bo' WHERE id = 1`)
			if got := one(t, engine.Client, id, `SELECT note FROM "`+as+`" WHERE id = 1`); got != "was bob" {
				t.Errorf("the trigger of the restored table wrote %v", show(got))
			}
			// Taken away again, nothing of the database is another.
			engine.exec(t, id, `DROP TABLE "`+as+`"`)
			exporttest.Equal(t, ask, askD1(engine.Client, twin), `SELECT rowid FROM search WHERE search MATCH 'cleo'`, `SELECT name, seq FROM sqlite_sequence ORDER BY 1`)
		})
	}
}
