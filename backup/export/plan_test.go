package export

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

func ordered(tables ...*table) string {
	var out []string
	for _, t := range order(tables) {
		out = append(out, t.Name)
	}
	return strings.Join(out, " ")
}

func TestOrder(t *testing.T) {
	t.Parallel()
	tab := func(name string, parents ...string) *table {
		t := &table{Name: name}
		for _, p := range parents {
			t.References = append(t.References, reference{Table: p})
		}
		return t
	}
	for _, c := range []struct {
		name, want string
		tables     []*table
	}{
		{"by name", "a b c", []*table{tab("c"), tab("a"), tab("b")}},
		{"parents first", "z m a", []*table{tab("a", "m"), tab("m", "z"), tab("z")}},
		{"a cycle stands together", "a z b q", []*table{tab("b", "z"), tab("z", "a"), tab("a", "z"), tab("q")}},
		{"a cycle of three with a child and a parent", "p a m z c", []*table{tab("c", "m"), tab("m", "a"), tab("a", "z"), tab("z", "m", "p"), tab("p")}},
		{"to itself", "a b", []*table{tab("b"), tab("a", "a")}},
		{"to nothing", "a b", []*table{tab("b"), tab("a", "nowhere")}},
		{"names fold", "Z a", []*table{tab("a", "z"), tab("Z")}},
		{"none", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range 10 {
				rand.Shuffle(len(c.tables), func(i, j int) { c.tables[i], c.tables[j] = c.tables[j], c.tables[i] })
				if got := ordered(slices.Clone(c.tables)...); got != c.want {
					t.Fatalf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestParseVirtual(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`CREATE VIRTUAL TABLE f USING fts5(a, b)`:                                          "fts5|a|b",
		`create virtual table "using fts4(" Using FTS5 ( a , content = 'x,y' , b"," )`:     `fts5|a|content = 'x,y'|b","`,
		"CREATE VIRTUAL TABLE f -- using rtree(x)\nUSING /* fts3( */ [fts5](a(1,2), 'b)')": "fts5|a(1,2)|'b)'",
		`CREATE VIRTUAL TABLE v USING module`:                                              "module",
		`CREATE VIRTUAL TABLE v USING module()`:                                            "module|",
		`CREATE VIRTUAL TABLE v USING 'unended`:                                            "'unended",
		`CREATE VIRTUAL TABLE [v`:                                                          "",
	} {
		v := parseVirtual(sql)
		if got := strings.Join(append([]string{v.Module}, v.Args...), "|"); got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	v := parseVirtual(`CREATE VIRTUAL TABLE f USING fts5(a, content='it''s', CONTENT_ROWID = [id])`)
	if s, ok := v.option("content"); s != "it's" || !ok {
		t.Errorf("content is %q, %v", s, ok)
	}
	if s, ok := v.option("content_rowid"); s != "id" || !ok {
		t.Errorf("content_rowid is %q, %v", s, ok)
	}
	if _, ok := v.option("tokenize"); ok {
		t.Error("found an option that is not there")
	}
}

func TestBeyond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		desc []bool
		want string
	}{
		{[]bool{false}, "k0 > 1"},
		{[]bool{true}, "k0 < 1"},
		{[]bool{false, false}, "(k0, k1) > (1, 2)"},
		{[]bool{true, true}, "(k0, k1) < (1, 2)"},
		{[]bool{false, true}, "(k0 > 1) OR (k0 = 1 AND k1 < 2)"},
		{[]bool{true, false, true}, "(k0 < 1) OR (k0 = 1 AND k1 > 2) OR (k0 = 1 AND k1 = 2 AND k2 < 3)"},
	} {
		p := &part{keySQL: []string{"k0", "k1", "k2"}[:len(c.desc)], desc: c.desc}
		if got := p.beyond([]string{"1", "2", "3"}[:len(c.desc)]); got != c.want {
			t.Errorf("%v: got %s, want %s", c.desc, got, c.want)
		}
	}
}

// TestSelectsFit: whatever the columns are called and however they are read,
// no query exceeds D1's limits.
func TestSelectsFit(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{tagged, asHex, pieces} {
		for _, nameLength := range []int{1, 200, 900} {
			tb := &table{Name: strings.Repeat("t", nameLength)}
			for i := range 100 {
				tb.Columns = append(tb.Columns, column{Name: strings.Repeat("c", nameLength) + string(rune('a'+i/26)) + string(rune('a'+i%26))})
			}
			p := newPart(tb)
			for i := range p.modes {
				p.modes[i] = m
			}
			statements, counts := p.selects(page{after: []string{"-9223372036854775808"}, limit: 1000})
			total := 0
			for i, s := range statements {
				total += counts[i]
				if len(s) > 100_000 {
					t.Errorf("mode %d, names of %d bytes: a statement of %d bytes", m, nameLength, len(s))
				}
				width := counts[i]
				if m == pieces {
					width *= 1 + pieceCount
				}
				if width > 100 {
					t.Errorf("mode %d: %d result columns", m, width)
				}
			}
			if total != 101 {
				t.Errorf("mode %d: %d values are read, not 101", m, total)
			}
		}
	}
}

func TestDecoderRefusesWhatWasNotAsked(t *testing.T) {
	t.Parallel()
	row := func([]dump.Value) error { return nil }
	for name, cells := range map[string][]backup.Cell{
		"too few":     {},
		"too many":    {{Kind: backup.CellNumber, Bytes: []byte("1")}, {Kind: backup.CellNumber, Bytes: []byte("1")}},
		"no tag":      {{Kind: backup.CellText}},
		"other tag":   {{Kind: backup.CellText, Bytes: []byte("hello")}},
		"bare minus":  {{Kind: backup.CellText, Bytes: []byte("-")}},
		"not hex":     {{Kind: backup.CellText, Bytes: []byte("xZZ")}},
		"a real text": {{Kind: backup.CellText, Bytes: []byte("1.5")}},
	} {
		d := newDecoder(&part{modes: []mode{tagged}}, []int{1}, false, row)
		if err := d.answer(0, cells); err == nil || backup.Kind(err) == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	d := newDecoder(&part{modes: []mode{tagged, tagged}}, []int{1, 1}, false, row)
	one := []backup.Cell{{Kind: backup.CellNumber, Bytes: []byte("1")}}
	if err := d.answer(1, one); err == nil {
		t.Error("a row without its other half was taken")
	}
}
