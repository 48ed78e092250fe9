package exporttest

import (
	"fmt"
	"strings"
)

func cycles() Trap {
	return Trap{Name: "fk-cycles", Statements: []string{
		`CREATE TABLE z_a(id INTEGER PRIMARY KEY, b REFERENCES a_b(id) DEFERRABLE INITIALLY DEFERRED)`,
		`CREATE TABLE a_b(id INTEGER PRIMARY KEY, a REFERENCES z_a(id) DEFERRABLE INITIALLY DEFERRED)`,
		`INSERT INTO z_a VALUES(1, NULL), (2, NULL)`, `INSERT INTO a_b VALUES(1, 2), (2, 1)`, `UPDATE z_a SET b = 3 - id`,
		`CREATE TABLE self(id INTEGER PRIMARY KEY, parent REFERENCES self(id) ON DELETE CASCADE)`,
		`INSERT INTO self VALUES(9, NULL), (1, 9), (2, 1)`,
	}, Code: "later-rows"}
}

func parents() Trap {
	return Trap{Name: "fk-order", Statements: []string{
		`CREATE TABLE zz_parent(id TEXT PRIMARY KEY)`, `CREATE TABLE m_middle(id INTEGER PRIMARY KEY, p TEXT REFERENCES ZZ_PARENT(id) ON DELETE CASCADE)`,
		`CREATE TABLE a_child(m REFERENCES m_middle(id) ON DELETE CASCADE, p REFERENCES zz_parent)`,
		`INSERT INTO zz_parent VALUES('p')`, `INSERT INTO m_middle VALUES(1, 'p')`, `INSERT INTO a_child VALUES(1, 'p'), (NULL, NULL)`,
		`CREATE TABLE dangling(x REFERENCES nowhere(id))`,
	}}
}

// missingParent has rows whose foreign key names a table that was dropped.
func missingParent() Trap {
	return Trap{Name: "fk-parent-missing", Statements: []string{
		`CREATE TABLE parent(id INTEGER PRIMARY KEY)`, `CREATE TABLE child(x, y REFERENCES parent(id))`,
		`INSERT INTO child VALUES(1, NULL)`, `DROP TABLE parent`,
	}, Code: "parent-missing", Import: "no such table: main.parent"}
}

// uniqueParent has a parent key that is an index of its own, which must be there
// before the child's rows.
func uniqueParent() Trap {
	return Trap{Name: "fk-unique-index", Statements: []string{
		`CREATE TABLE parent(id INTEGER PRIMARY KEY, email TEXT)`, `CREATE INDEX a_first ON parent(id, email)`, `create /* not a plain */ unique index parent_email ON parent(email)`,
		`CREATE TABLE child(email REFERENCES parent(email))`, `INSERT INTO parent VALUES(1, 'a@b'), (2, NULL)`, `INSERT INTO child VALUES('a@b')`,
	}}
}

func orphans() Trap {
	return Trap{Name: "orphans", Unsafe: true, Statements: []string{
		`PRAGMA foreign_keys = OFF`,
		`CREATE TABLE parent(id INTEGER PRIMARY KEY)`, `CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent(id))`,
		`INSERT INTO child VALUES(1, 99), (2, NULL)`,
	}, Code: "orphans", Import: "FOREIGN KEY constraint failed"}
}

// uniqueSelf references itself by a unique index of its own, which must be there
// before its first row.
func uniqueSelf() Trap {
	return Trap{Name: "fk-unique-self", Statements: []string{
		`CREATE TABLE tree(id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE, place INT, up TEXT REFERENCES tree(code), FOREIGN KEY(place, up) REFERENCES tree(place, code))`,
		`CREATE UNIQUE INDEX tree_code ON tree(code)`, `CREATE UNIQUE INDEX tree_place ON tree(code, place)`, `CREATE INDEX tree_up ON tree(up)`,
		`INSERT INTO tree VALUES(1, 'root', 1, NULL), (2, 'leaf', 1, 'ROOT'), (3, 'own', 2, 'own')`,
		`CREATE TABLE of_tree(code REFERENCES tree(code) ON DELETE CASCADE)`, `INSERT INTO of_tree VALUES('leaf'), (NULL)`,
		`CREATE TABLE uuids(id TEXT PRIMARY KEY, up TEXT REFERENCES uuids(id))`, `INSERT INTO uuids VALUES('f', NULL), ('a', 'f'), ('c', 'a')`,
		`CREATE TABLE sorted(id TEXT PRIMARY KEY, up REFERENCES sorted) WITHOUT ROWID`, `INSERT INTO sorted VALUES('a', NULL), ('b', 'a'), ('c', 'c')`,
	}}
}

// uniqueCycle is a cycle whose keys are unique indexes of their own.
func uniqueCycle() Trap {
	return Trap{Name: "fk-unique-cycle", Statements: []string{
		`CREATE TABLE team(id INTEGER PRIMARY KEY, name TEXT, lead TEXT REFERENCES person(mail))`, `CREATE UNIQUE INDEX team_name ON team(name)`,
		`CREATE TABLE person(id INTEGER PRIMARY KEY, mail TEXT, team TEXT REFERENCES team(name))`, `CREATE UNIQUE INDEX person_mail ON person(mail)`,
		`CREATE TABLE badge(mail REFERENCES person(mail))`,
		`INSERT INTO team VALUES(1, 'grove', NULL), (2, 'moss', NULL)`, `INSERT INTO person VALUES(1, 'ada@x', 'grove'), (2, 'eve@x', NULL)`,
		`INSERT INTO badge VALUES('ada@x')`,
	}, Code: "later-rows"}
}

// laterSelf is a tree whose children have lower numbers than their parents, and
// more rows than one piece of an import holds.
func laterSelf() Trap {
	t := Trap{Name: "fk-later-self", Statements: []string{
		`CREATE TABLE tree(id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree(id), name TEXT)`, `CREATE TABLE texts(id TEXT PRIMARY KEY, up REFERENCES texts(id))`,
		`INSERT INTO tree VALUES(1000, NULL, 'root')`, `INSERT INTO texts(rowid, id) VALUES(1000, 'root')`,
	}, Code: "later-rows", InPieces: "FOREIGN KEY constraint failed"}
	for i := 100; i > 0; i-- {
		up := i + 1
		if i == 100 {
			up = 1000
		}
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO tree VALUES(%d, %d, '%s')", i, up, strings.Repeat("n", 50)),
			fmt.Sprintf("INSERT INTO texts(rowid, id, up) VALUES(%d, 'n%d', 'root')", i, i))
	}
	return t
}

// laterCycle is a cycle whose tables name each other in every row.
func laterCycle() Trap {
	t := Trap{Name: "fk-later-cycle", Statements: []string{
		`CREATE TABLE a(id INTEGER PRIMARY KEY, b INTEGER REFERENCES b(id), pad TEXT)`, `CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id))`,
	}, Code: "later-rows", InPieces: "FOREIGN KEY constraint failed"}
	for i := range 50 {
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO a VALUES(%d, NULL, '%s')", i, strings.Repeat("p", 50)),
			fmt.Sprintf("INSERT INTO b VALUES(%d, %d)", i, i), fmt.Sprintf("UPDATE a SET b = %d WHERE id = %d", i, i))
	}
	return t
}

// mismatched has rows whose parent key lost its unique index: no SQLite with
// foreign keys on takes another row of that table.
func mismatched() Trap {
	return Trap{Name: "fk-mismatch", Statements: []string{
		`CREATE TABLE parent(id INTEGER PRIMARY KEY, mail TEXT)`, `CREATE UNIQUE INDEX parent_mail ON parent(mail)`,
		`CREATE TABLE child(mail TEXT REFERENCES parent(mail))`, `INSERT INTO parent VALUES(1, 'a@b')`, `INSERT INTO child VALUES('a@b')`,
		`DROP INDEX parent_mail`,
	}, Code: "key-mismatch", Import: "foreign key mismatch"}
}
