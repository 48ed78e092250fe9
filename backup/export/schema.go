package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// The schema is asked for in one transaction. Names come as hex, so that one
// that is not valid UTF-8 survives JSON. Cloudflare's own tables (_cf_…) are
// left out: their columns may not be read.
const (
	askObjects = `SELECT type, hex(name), hex(tbl_name), hex(sql) FROM sqlite_schema ORDER BY rowid`
	askTables  = `SELECT hex(name), type, wr, strict FROM pragma_table_list WHERE schema = 'main'`
	askColumns = `SELECT hex(l.name), hex(x.name), x.hidden, x.pk, hex(x.type), x."notnull", hex(x.dflt_value) FROM pragma_table_list l, pragma_table_xinfo(l.name) x` +
		` WHERE l.schema = 'main' AND l.type IN (%s) AND l.name NOT LIKE '\_cf\_%%' ESCAPE '\' ORDER BY l.name, x.cid`
	askParents = `SELECT hex(l.name), hex(f."table"), f.seq, hex(f."to"), hex(f."from") FROM pragma_table_list l, pragma_foreign_key_list(l.name) f` +
		` WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY l.name, f.id, f.seq`
	askKeys = `SELECT hex(l.name), x.cid, x."desc", hex(x.coll), i.seq, i.origin FROM pragma_table_list l, pragma_index_list(l.name) i, pragma_index_xinfo(i.name) x` +
		` WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE '\_cf\_%' ESCAPE '\' AND i."unique" AND NOT i.partial AND x.key = 1 ORDER BY l.name, i.seq, x.seqno`
	askOneTable = `SELECT hex(CAST(X'%s' AS TEXT)), hex(name), hidden, pk, hex(type), "notnull", hex(dflt_value) FROM pragma_table_xinfo(CAST(X'%[1]s' AS TEXT)) ORDER BY cid`
)

// entry is a row of sqlite_schema that has SQL.
type entry struct {
	Type, Name, Table, SQL string
}

// column is a column of a table.
type column struct {
	Name    string
	Hidden  int // 0 ordinary, 1 hidden in a virtual table, 2 and 3 generated
	PK      int // position in the primary key, from 1; 0 for none
	Type    string
	NotNull bool
	Default string // the expression; "" for none
}

// keyColumn is a column of an index that keeps a key unique.
type keyColumn struct {
	Column  int // its place in the table's columns; negative for the rowid or an expression
	Desc    bool
	Collate string
}

// table is what discovery learned of one table.
type table struct {
	Name, SQL    string
	Virtual      bool
	WithoutRowid bool
	Strict       bool
	Columns      []column
	Key          []keyColumn   // empty for a rowid table whose key is the rowid, or that has none
	Unique       [][]keyColumn // the unique indexes but for partial ones, the primary key's among them
	References   []reference   // its foreign keys
	Unreadable   error         // a virtual table whose module is missing here
}

// reference is a foreign key.
type reference struct {
	Table   string   // the parent, folded
	Columns []string // of the parent; none: its primary key
	From    []string // the table's own
}

// schema is everything of a database that is not rows.
type schema struct {
	Objects []entry  // with SQL, in the order of sqlite_schema
	Tables  []*table // that hold rows of the user's, in the same order
	skipped map[string]bool
	Digest  [sha256.Size]byte // of all of sqlite_schema
	Size    int64             // bytes of the database; 0 when unknown
}

func cloudflares(name string) bool { return strings.HasPrefix(source.Fold(name), "_cf_") }

// digest hashes rows so that any change of them changes it.
func digest(rows [][]string) [sha256.Size]byte {
	h := sha256.New()
	for _, r := range rows {
		for _, c := range r {
			fmt.Fprintf(h, "%d:%s", len(c), c)
		}
		h.Write([]byte{'\n'})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// discover reads the schema in one request; in one more for each virtual table
// where one of them has a module that is missing here.
func discover(ctx context.Context, src backup.Reader) (*schema, error) {
	var l source.Lists
	ask := func(kinds string) (backup.ReadStats, error) {
		l = source.Lists{}
		return src.Read(ctx, []string{askObjects, askTables, fmt.Sprintf(askColumns, kinds), askParents, askKeys}, &l)
	}
	stats, err := ask("'table', 'virtual'")
	alone := errors.Is(err, backup.ErrInvalid)
	if alone {
		stats, err = ask("'table'")
	}
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	s, err := parseSchema(l.Rows)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	s.Size = stats.SizeAfter
	for _, t := range s.Tables {
		if alone && t.Virtual {
			if err := s.discoverVirtual(ctx, src, t); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *schema) discoverVirtual(ctx context.Context, src backup.Reader, t *table) error {
	var l source.Lists
	_, err := src.Read(ctx, []string{fmt.Sprintf(askOneTable, hex.EncodeToString([]byte(t.Name)))}, &l)
	if errors.Is(err, backup.ErrInvalid) {
		t.Unreadable = err
		return nil
	}
	if err == nil {
		err = s.addColumns(l.Rows[0], map[string]*table{source.Fold(t.Name): t})
	}
	if err != nil {
		return fmt.Errorf("read the columns of %s: %w", t.Name, err)
	}
	return nil
}

func parseSchema(rows [][][]string) (*schema, error) {
	s := &schema{Digest: digest(rows[0]), skipped: map[string]bool{}}
	kinds := map[string][]string{}
	for _, r := range rows[1] {
		name, err := unhex(r[0])
		if err != nil {
			return nil, err
		}
		kinds[source.Fold(name)] = r[1:]
		if r[1] == "shadow" {
			s.skipped[source.Fold(name)] = true
		}
	}
	byName := map[string]*table{}
	for _, r := range rows[0] {
		o := entry{Type: r[0]}
		if err := unhexAll(r[1:], &o.Name, &o.Table, &o.SQL); err != nil {
			return nil, err
		}
		if cloudflares(o.Name) || cloudflares(o.Table) {
			s.skipped[source.Fold(o.Name)] = true
		}
		if o.SQL == "" || s.skipped[source.Fold(o.Name)] || s.skipped[source.Fold(o.Table)] {
			continue
		}
		s.Objects = append(s.Objects, o)
		if o.Type != "table" {
			continue
		}
		k := kinds[source.Fold(o.Name)]
		if k == nil {
			return nil, backup.Errorf(backup.ErrUnavailable, "the table %q is in sqlite_schema but not in pragma_table_list", o.Name)
		}
		t := &table{Name: o.Name, SQL: o.SQL, Virtual: k[0] == "virtual", WithoutRowid: k[1] == "1" && k[0] != "virtual", Strict: k[2] == "1"}
		byName[source.Fold(o.Name)] = t
		if !internal(o.Name) {
			s.Tables = append(s.Tables, t)
		}
	}
	return s, s.addDetails(rows, byName)
}

// internal tells SQLite's own tables: they are not the user's, but
// sqlite_sequence and sqlite_stat1 are kept in parts of their own.
func internal(name string) bool { return strings.HasPrefix(source.Fold(name), "sqlite_") }

// has tells whether there is a table or view of this name.
func (s *schema) has(name string) bool {
	return slices.ContainsFunc(s.Objects, func(o entry) bool {
		return (o.Type == "table" || o.Type == "view") && source.Fold(o.Name) == source.Fold(name)
	})
}

func (s *schema) addDetails(rows [][][]string, byName map[string]*table) error {
	if err := s.addColumns(rows[2], byName); err != nil {
		return err
	}
	for _, r := range rows[3] {
		var name, parent, column, from string
		if err := unhexAll([]string{r[0], r[1], r[3], r[4]}, &name, &parent, &column, &from); err != nil {
			return err
		}
		t := byName[source.Fold(name)]
		if t == nil {
			continue
		}
		if r[2] == "0" {
			t.References = append(t.References, reference{Table: source.Fold(parent)})
		}
		if n := len(t.References); n > 0 {
			last := &t.References[n-1]
			last.From = append(last.From, from)
			if column != "" {
				last.Columns = append(last.Columns, column)
			}
		}
	}
	return s.addKeys(rows[4], byName)
}

// addKeys takes the columns of unique indexes, in the order of the indexes.
func (s *schema) addKeys(rows [][]string, byName map[string]*table) error {
	last := ""
	for _, r := range rows {
		name, err := unhex(r[0])
		if err != nil {
			return err
		}
		t := byName[source.Fold(name)]
		if t == nil {
			continue
		}
		var k keyColumn
		if k.Column, err = strconv.Atoi(r[1]); err == nil {
			k.Collate, err = unhex(r[3])
		}
		primary := r[5] == "pk"
		if err != nil || k.Column < 0 && primary || k.Column >= len(t.Columns) {
			return backup.Errorf(backup.ErrUnavailable, "a unique index of %q has a column %q that the table lacks", name, r[1])
		}
		k.Desc = r[2] == "1"
		if primary {
			t.Key = append(t.Key, k)
		}
		if index := r[0] + " " + r[4]; index != last || len(t.Unique) == 0 {
			t.Unique, last = append(t.Unique, nil), index
		}
		t.Unique[len(t.Unique)-1] = append(t.Unique[len(t.Unique)-1], k)
	}
	return nil
}

func (s *schema) addColumns(rows [][]string, byName map[string]*table) error {
	for _, r := range rows {
		var name string
		var c column
		if err := unhexAll([]string{r[0], r[1], r[4], r[6]}, &name, &c.Name, &c.Type, &c.Default); err != nil {
			return err
		}
		var err1, err2 error
		c.NotNull = r[5] == "1"
		c.Hidden, err1 = strconv.Atoi(r[2])
		c.PK, err2 = strconv.Atoi(r[3])
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("the columns of %q: %w", name, err)
		}
		if t := byName[source.Fold(name)]; t != nil {
			t.Columns = append(t.Columns, c)
		}
	}
	return nil
}

func unhex(s string) (string, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return "", backup.Errorf(backup.ErrUnavailable, "the answer holds %.40q where hexadecimal was asked for", s)
	}
	return string(b), nil
}

func unhexAll(from []string, to ...*string) error {
	for i, p := range to {
		s, err := unhex(from[i])
		if err != nil {
			return err
		}
		*p = s
	}
	return nil
}
