package dump

// definition is what a CREATE TABLE says of a table's columns and its key.
type definition struct {
	columns      []columnDefinition
	withoutRowid bool
	known        bool // it could be read
}

type columnDefinition struct {
	name      string
	integer   bool // its type is INTEGER, and nothing else
	generated bool
	collate   string
	key       int  // its place in the primary key, from 1; 0 for none
	desc      bool // the key falls with it
}

// define reads a CREATE TABLE as sqlite_schema holds it. Expressions and what
// belongs to other constraints are stepped over. Where the text is not
// understood known is false.
func define(sql []byte) (d definition) {
	w := newWords(sql)
	if !w.is("CREATE") || !w.is("TABLE") {
		return d
	}
	w.name()
	if !w.punct('(') {
		return d
	}
	keys := 0
	for first := true; ; first = false {
		if !first && !w.punct(',') {
			break
		}
		if constraint(w) {
			break
		}
		if !d.column(w, &keys) {
			return definition{}
		}
	}
	for constraint(w) {
		if !d.tableConstraint(w, &keys) {
			return definition{}
		}
		w.punct(',')
	}
	if !w.punct(')') {
		return definition{}
	}
	for w.tok.Kind == TokenWord {
		if w.is("WITHOUT") {
			d.withoutRowid = true
		}
		w.next() // ROWID, or STRICT
		w.punct(',')
	}
	d.known = true
	return d
}

// constraint tells whether a constraint of the table begins here.
func constraint(w *words) bool {
	return w.word("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
}

// column reads the definition of one column, through the comma or bracket
// behind it.
func (d *definition) column(w *words, keys *int) bool {
	if _, ok := identifier(w.Text(w.tok), w.tok.Kind); !ok {
		return false
	}
	c := columnDefinition{name: w.name()}
	typeWords := 0
	for {
		name, ok := identifier(w.Text(w.tok), w.tok.Kind)
		if !ok || w.word("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS") {
			break
		}
		typeWords++
		c.integer = typeWords == 1 && w.tok.Kind == TokenWord && equalFold(name, "INTEGER")
		w.next()
	}
	if w.punct('(') {
		c.integer = false
		if !closing(w) {
			return false
		}
	}
	for !w.at(',') && !w.at(')') {
		switch {
		case w.tok.Kind == TokenEnd:
			return false
		case w.is("PRIMARY"):
			w.is("KEY")
			*keys++
			c.key, c.desc = *keys, w.is("DESC")
		case w.is("COLLATE"):
			c.collate = w.name()
		case w.is("AS"):
			c.generated = true
		case w.is("DEFAULT"):
			w.punct('-')
			w.punct('+')
			if !w.at('(') {
				w.next() // a literal, whatever it reads like
			}
		case w.is("CONSTRAINT"):
			w.next()
		case w.punct('('):
			if !closing(w) {
				return false
			}
		default:
			w.next()
		}
	}
	d.columns = append(d.columns, c)
	return true
}

// tableConstraint reads one constraint of the table; of these only the primary
// key matters.
func (d *definition) tableConstraint(w *words, keys *int) bool {
	if w.is("CONSTRAINT") {
		w.next()
	}
	switch {
	case w.is("PRIMARY"):
		if !w.is("KEY") || !w.punct('(') {
			return false
		}
		for {
			name := w.name()
			c := d.find(name)
			if c == nil {
				return false
			}
			if c.key == 0 {
				*keys++
				c.key = *keys
			}
			for !w.at(',') && !w.at(')') {
				switch {
				case w.is("COLLATE"):
					c.collate = w.name()
				case w.is("DESC"):
					c.desc = true
				case w.tok.Kind == TokenEnd || w.at('('):
					return false
				default:
					w.next()
				}
			}
			if !w.punct(',') {
				break
			}
		}
		if !w.punct(')') {
			return false
		}
	default:
		w.next()
	}
	for !w.at(',') && !w.at(')') && !constraint(w) {
		switch {
		case w.tok.Kind == TokenEnd:
			return false
		case w.punct('('):
			if !closing(w) {
				return false
			}
		default:
			w.next()
		}
	}
	return true
}

func (d *definition) find(name string) *columnDefinition {
	for i := range d.columns {
		if equalFold(d.columns[i].name, name) {
			return &d.columns[i]
		}
	}
	return nil
}

// closing steps over the rest of a bracket that is open.
func closing(w *words) bool {
	for depth := 1; depth > 0; {
		switch {
		case w.punct('('):
			depth++
		case w.punct(')'):
			depth--
		case w.tok.Kind == TokenEnd:
			return false
		default:
			w.next()
		}
	}
	return true
}

// word tells whether the token is one of the keywords, and stays before it.
func (w *words) word(keywords ...string) bool {
	if w.tok.Kind != TokenWord {
		return false
	}
	for _, k := range keywords {
		if equalFold(w.Text(w.tok), k) {
			return true
		}
	}
	return false
}

// at tells whether the token is that byte, and stays before it.
func (w *words) at(c byte) bool { return w.tok.Kind == TokenPunct && w.src[w.tok.Start] == c }
