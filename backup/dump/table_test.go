package dump_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

func oneTable(t testing.TB, text []byte, name string, opt dump.TableOptions) string {
	t.Helper()
	var out bytes.Buffer
	check(t, dump.OneTable(&out, bytes.NewReader(text), name, opt))
	return out.String()
}

const as = "users_restored_2026-11-23"

// besideDB is a database with a users table made by the statements, dumped and
// with the table loaded again beside the first, in one transaction with
// foreign keys on.
func besideDB(t testing.TB, setup string, opt dump.TableOptions) *sql.DB {
	t.Helper()
	db := openSQLite(t)
	exec(t, db, setup)
	text, _ := dumpOf(t, db)
	exec(t, db, "PRAGMA foreign_keys=ON")
	opt.ForD1 = true
	if opt.As == "" {
		opt.As = as
	}
	exec(t, db, "BEGIN;"+oneTable(t, text, "users", opt)+"COMMIT")
	return db
}

func TestOneTableLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	db := besideDB(t, `CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, boss REFERENCES users(id) ON DELETE CASCADE, name TEXT CHECK (users.name <> 'users.name'));
		CREATE TABLE posts(id INTEGER PRIMARY KEY AUTOINCREMENT, author REFERENCES users ON DELETE CASCADE, t);
		INSERT INTO users VALUES(1,NULL,'ada'),(2,1,'bob'),(90,2,'cleo'); DELETE FROM users WHERE id=90;
		INSERT INTO posts VALUES(5,1,'x'),(60,2,'y');
		CREATE UNIQUE INDEX by_name ON users(name) WHERE users.name > '';
		CREATE TRIGGER touched AFTER UPDATE ON users BEGIN UPDATE posts SET t = 'touched'; END;`, dump.TableOptions{})
	if got := strs(t, db, `SELECT id||author||t FROM posts`); !slices.Equal(got, []string{"51x", "602y"}) {
		t.Errorf("posts became %v", got)
	}
	if got := strs(t, db, `SELECT name||seq FROM sqlite_sequence ORDER BY 1`); !slices.Equal(got, []string{"posts60", "users90", as + "90"}) {
		t.Errorf("sqlite_sequence is %v", got)
	}
	// The copy refers to itself: what goes from the old one leaves it whole.
	exec(t, db, `DELETE FROM users`)
	if got := strs(t, db, `SELECT id||name FROM "`+as+`"`); !slices.Equal(got, []string{"1ada", "2bob"}) {
		t.Errorf("the restored table holds %v", got)
	}
	exec(t, db, `DELETE FROM "`+as+`" WHERE id=1`)
	if got := strs(t, db, `SELECT id FROM "`+as+`"`); len(got) != 0 {
		t.Errorf("its foreign key to itself does not cascade: %v", got)
	}
	if got := strs(t, db, `SELECT name FROM sqlite_schema WHERE tbl_name=? AND sql IS NOT NULL ORDER BY 1`, as); !slices.Equal(got, []string{"by_name_restored_2026-11-23", "touched_restored_2026-11-23", as}) {
		t.Errorf("its objects are %v", got)
	}
}

// TestOneTableTriggers: what a trigger of the restored table does to its own
// table it does to the restored one, and what to others to them.
func TestOneTableTriggers(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE users(id INTEGER PRIMARY KEY, n, users); INSERT INTO users VALUES(1,10,0),(2,20,0);
		CREATE TABLE log(t); CREATE INDEX users_n ON users(n);`
	fire := `UPDATE "` + as + `" SET n = 11 WHERE id = 1`
	for name, c := range map[string]struct{ trigger, old, restored, log string }{
		"update itself":       {`UPDATE users SET users = users + 1 WHERE users.id = new.id;`, "1,10,0 2,20,0", "1,11,1 2,20,0", ""},
		"or replace":          {`UPDATE OR REPLACE "users" SET users = 7;`, "1,10,0 2,20,0", "1,11,7 2,20,7", ""},
		"delete":              {`DELETE FROM [users] WHERE id = 2;`, "1,10,0 2,20,0", "1,11,0", ""},
		"insert":              {"INSERT INTO `USERS`(id, n, users) VALUES(3, 30, new.users) ON CONFLICT(id) DO UPDATE SET n = users.n;", "1,10,0 2,20,0", "1,11,0 2,20,0 3,30,0", ""},
		"read into a log":     {`INSERT INTO log SELECT users.n FROM users WHERE users.users = 0 ORDER BY users.id;`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11 20"},
		"with an alias":       {`INSERT INTO log SELECT u.n FROM users u JOIN users AS v ON u.id = v.id;`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11 20"},
		"with commas":         {`INSERT INTO log SELECT max(u.n, l.n) FROM (SELECT 1 AS n) l, users u, (users) w WHERE u.id = w.id;`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11 20"},
		"star":                {`INSERT INTO log SELECT group_concat(n) FROM (SELECT users.* FROM main.users);`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11,20"},
		"in a table":          {`INSERT INTO log SELECT 1 WHERE 11 IN (SELECT n FROM users) AND new.n IS DISTINCT FROM users;`, "", "", "no such column"},
		"exists":              {`INSERT INTO log SELECT 'yes' WHERE EXISTS (SELECT 1 FROM users WHERE main.users.n = 11);`, "1,10,0 2,20,0", "1,11,0 2,20,0", "yes"},
		"indexed by":          {`INSERT INTO log SELECT n FROM users INDEXED BY users_n WHERE n > 0;`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11 20"},
		"a string and a note": {"INSERT INTO log VALUES('users' /* users */ || ' FROM users'); -- FROM users\n", "1,10,0 2,20,0", "1,11,0 2,20,0", "users FROM users"},
		"case and end":        {`INSERT INTO log SELECT CASE WHEN (SELECT count(*) FROM users) = 2 THEN 'two' END;`, "1,10,0 2,20,0", "1,11,0 2,20,0", "two"},
		"with":                {`INSERT INTO log SELECT x FROM (WITH c(x) AS (SELECT n FROM users) SELECT x FROM c);`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11 20"},
		"compound":            {`INSERT INTO log SELECT n FROM users WHERE id = 1 UNION ALL SELECT users FROM users WHERE id = 2;`, "1,10,0 2,20,0", "1,11,0 2,20,0", "11 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, head := range []string{"AFTER UPDATE OF n ON users", "after update on main . \"users\" FOR EACH ROW WHEN new.n > (SELECT min(users.n) - 100 FROM users)"} {
				db := besideDB(t, table+"CREATE TRIGGER tr "+head+" BEGIN "+c.trigger+" END;", dump.TableOptions{})
				if c.log == "no such column" {
					if _, err := db.Exec(fire); err == nil || !strings.Contains(err.Error(), c.log) {
						t.Errorf("%s: %v", head, err)
					}
					continue
				}
				exec(t, db, fire)
				state := func(q string) string { return strings.Join(strs(t, db, q), " ") }
				if got := state(`SELECT id||','||n||','||users FROM users`); got != c.old {
					t.Errorf("%s: the old table holds %s", head, got)
				}
				if got := state(`SELECT id||','||n||','||users FROM "` + as + `"`); got != c.restored {
					t.Errorf("%s: the restored one holds %s, want %s", head, got, c.restored)
				}
				if got := state(`SELECT t FROM log`); got != c.log {
					t.Errorf("%s: the log holds %q, want %q", head, got, c.log)
				}
			}
		})
	}
}

func TestOneTableRefusesWhatItCannotTellApart(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"alias":     `INSERT INTO log SELECT users.t FROM log AS users;`,
		"bare":      `INSERT INTO log SELECT users.t FROM log users;`,
		"subquery":  `INSERT INTO log SELECT users.x FROM (SELECT 1 AS x) AS users;`,
		"with":      `INSERT INTO log SELECT x FROM (WITH users AS (SELECT 1 AS x) SELECT x FROM users);`,
		"with list": `INSERT INTO log SELECT x FROM (WITH a AS (SELECT 1), users(x) AS (SELECT 1) SELECT x FROM users);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t)
			exec(t, db, `CREATE TABLE users(id INTEGER PRIMARY KEY); CREATE TABLE log(t); CREATE TRIGGER tr AFTER INSERT ON users BEGIN `+body+` END`)
			text, _ := dumpOf(t, db)
			err := dump.OneTable(&bytes.Buffer{}, bytes.NewReader(text), "users", dump.TableOptions{As: as})
			if !errors.Is(err, dump.ErrInvalid) || !strings.Contains(err.Error(), `"tr"`) {
				t.Errorf("got %v", err)
			}
			oneTable(t, text, "users", dump.TableOptions{}) // under its own name nothing is in the way
		})
	}
}

// TestOneTableOfRows is a table called as a trigger calls a row.
func TestOneTableOfRows(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	exec(t, db, `CREATE TABLE new(id INTEGER PRIMARY KEY, n CHECK (new.n > 0)); CREATE TABLE log(t); INSERT INTO new VALUES(1,10);
		CREATE TRIGGER tr AFTER UPDATE ON new BEGIN INSERT INTO log VALUES(new.n); END`)
	text, _ := dumpOf(t, db)
	exec(t, db, oneTable(t, text, "new", dump.TableOptions{As: "new_2"})+`UPDATE new_2 SET n = 4`)
	if got := strs(t, db, `SELECT t FROM log`); !slices.Equal(got, []string{"4"}) {
		t.Errorf("the log holds %v", got)
	}
	exec(t, db, `DROP TRIGGER tr; CREATE TRIGGER tr AFTER UPDATE ON new BEGIN INSERT INTO log SELECT new.n FROM new; END`)
	text, _ = dumpOf(t, db)
	if err := dump.OneTable(&bytes.Buffer{}, bytes.NewReader(text), "new", dump.TableOptions{As: "new_3"}); !errors.Is(err, dump.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// TestOneTableKeepsD1sLimit: the longer name makes rows at the limit too long,
// so that they must be put together from pieces.
func TestOneTableKeepsD1sLimit(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	exec(t, db, `CREATE TABLE users(a, b, c); CREATE TABLE patina_stage(x); INSERT INTO patina_stage VALUES(1);`)
	for n := 99_900; n < 99_990; n += 7 {
		exec(t, db, fmt.Sprintf(`INSERT INTO users VALUES(replace(hex(zeroblob(%d)),'00','é'), 7, 'it''s')`, n/2-30))
		exec(t, db, fmt.Sprintf(`INSERT INTO users VALUES(replace(hex(zeroblob(30)),'00','é'), CAST(X'00' || replace(hex(zeroblob(%d)),'00','x') AS TEXT), X'%s')`, 99_940-n, strings.Repeat("AB", (n-360)/2)))
	}
	exec(t, db, `INSERT INTO users VALUES(replace(hex(zeroblob(300000)),'00','q'), replace(hex(zeroblob(99000)),'00','r'), replace(hex(zeroblob(770)),'00','s'))`)
	text, _ := dumpOf(t, db)
	out := oneTable(t, text, "users", dump.TableOptions{ForD1: true, As: as, Reserved: []string{"PATINA_STAGE_" + strings.ToUpper(as)}})
	rest := []byte(out)
	for {
		n := dump.StatementEnd(rest)
		if n < 0 {
			break
		}
		if n > dump.MaxD1Statement+200 || bytes.Contains(rest[:n], []byte("VALUES(")) && len(bytes.TrimSpace(rest[:n])) > dump.MaxD1Statement {
			t.Errorf("a statement of %d bytes: %.100s", n, rest[:n])
		}
		rest = rest[n:]
	}
	if !strings.Contains(out, `"patina_stage_`+as+`_2"`) {
		t.Error("the staging table takes a name that the target uses")
	}
	exec(t, db, out)
	const rows = `SELECT rowid||typeof(a)||hex(a)||typeof(b)||hex(b)||typeof(c)||hex(c) FROM `
	if !slices.Equal(strs(t, db, rows+"users"), strs(t, db, rows+`"`+as+`"`)) {
		t.Error("the rows differ")
	}
	if got := strs(t, db, `SELECT name FROM sqlite_schema`); len(got) != 3 {
		t.Errorf("the tables are %v", got)
	}
}

func TestOneTableUnknown(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	exec(t, db, "CREATE TABLE users(a); CREATE TABLE \"e\n\x1b[31m\"(a)")
	text, _ := dumpOf(t, db)
	err := dump.OneTable(&bytes.Buffer{}, bytes.NewReader(text), "user", dump.TableOptions{})
	if !errors.Is(err, dump.ErrInvalid) || !strings.HasSuffix(err.Error(), `the dump has no table user: it holds users, e\u{a}\u{1b}[31m`) {
		t.Errorf("got %v", err)
	}
	for _, opt := range []dump.TableOptions{{As: "USERS"}, {As: "sqlite_x"}, {As: "a\x00"}, {As: "Taken", Reserved: []string{"taken"}}} {
		if err := dump.OneTable(&bytes.Buffer{}, bytes.NewReader(text), "users", opt); !errors.Is(err, dump.ErrInvalid) {
			t.Errorf("as %q: %v", opt.As, err)
		}
	}
	if out := oneTable(t, text, "USERS", dump.TableOptions{}); !strings.Contains(out, "CREATE TABLE users(a);") {
		t.Errorf("a table is found whatever the case: %s", out)
	}
	for _, n := range []int{len(text) / 2, len(text) - 1} {
		if err := dump.OneTable(&bytes.Buffer{}, bytes.NewReader(text[:n]), "users", dump.TableOptions{}); !errors.Is(err, dump.ErrCorrupt) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestOneTableHostileNames(t *testing.T) {
	t.Parallel()
	for i, name := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t)
			q := dump.QuoteIdent
			exec(t, db, "CREATE TABLE "+q(name)+"("+q(name+" a")+" INTEGER PRIMARY KEY AUTOINCREMENT,"+q(name+" b")+" REFERENCES "+q(name)+" CHECK ("+q(name)+"."+q(name+" a")+">0))")
			exec(t, db, "INSERT INTO "+q(name)+" VALUES(1,NULL),(3,1)")
			exec(t, db, "CREATE INDEX "+q(name+" i")+" ON "+q(name)+"("+q(name+" a")+")")
			exec(t, db, "CREATE TRIGGER "+q(name+" t")+" AFTER UPDATE ON "+q(name)+" BEGIN DELETE FROM "+q(name)+"; END")
			text, _ := dumpOf(t, db)
			exec(t, db, oneTable(t, text, name, dump.TableOptions{As: name + " again"}))
			again := q(name + " again")
			exec(t, db, "UPDATE "+again+" SET "+q(name+" b")+" = NULL")
			if got := strs(t, db, "SELECT count(*) FROM "+again); got[0] != "0" {
				t.Errorf("the trigger leaves %s rows", got[0])
			}
			if got := strs(t, db, "SELECT count(*) FROM "+q(name)); got[0] != "2" {
				t.Errorf("the old table has %s rows", got[0])
			}
			if got := strs(t, db, "SELECT seq FROM sqlite_sequence"); !slices.Equal(got, []string{"3", "3"}) {
				t.Errorf("the sequences are %v", got)
			}
		})
	}
}
