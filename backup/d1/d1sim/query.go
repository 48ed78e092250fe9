package d1sim

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// query is one statement with its parameters.
type query struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params"`
}

// sqlError is an error that D1 would report of a statement.
type sqlError struct{ message string }

func (e *sqlError) Error() string { return e.message }

// answer runs statements as one transaction and gives the JSON of "result".
// Rows are arrays, or objects where objects is set.
func (a *Account) answer(ctx context.Context, d *database, queries []query, objects, replica bool) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// An interrupted BEGIN would leave a transaction behind that nobody ends.
	if _, err := d.conn.ExecContext(context.WithoutCancel(ctx), "BEGIN"); err != nil {
		return nil, err
	}
	out := []byte{'['}
	var rows int64
	var err error
	for i, q := range queries {
		if i > 0 {
			out = append(out, ',')
		}
		var n int64
		if out, n, err = d.statement(ctx, out, q, objects, !replica); err != nil {
			break
		}
		rows += n
	}
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	if _, e := d.conn.ExecContext(context.WithoutCancel(ctx), end); e != nil && err == nil {
		_, _ = d.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		err = wrapSQL(e)
	}
	a.stats.add(d.ID, 0, rows)
	return append(out, ']'), err
}

func wrapSQL(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	m := err.Error()
	m = strings.TrimPrefix(m, "SQL logic error: ")
	for _, code := range []struct{ number, name string }{{" (1)", "SQLITE_ERROR"}, {" (18)", "SQLITE_TOOBIG"}, {" (787)", "SQLITE_CONSTRAINT"}, {" (19)", "SQLITE_CONSTRAINT"}, {" (2067)", "SQLITE_CONSTRAINT"}, {" (1555)", "SQLITE_CONSTRAINT"}, {" (1299)", "SQLITE_CONSTRAINT"}, {" (275)", "SQLITE_CONSTRAINT"}, {" (23)", "SQLITE_AUTH"}} {
		if s, ok := strings.CutSuffix(m, code.number); ok {
			return &sqlError{strings.TrimPrefix(s, "constraint failed: ") + ": " + code.name}
		}
	}
	return &sqlError{m + ": SQLITE_ERROR"}
}

// statement runs one statement and appends its element of the result.
func (d *database) statement(ctx context.Context, out []byte, q query, objects, primary bool) ([]byte, int64, error) {
	if err := refused(q.SQL); err != nil {
		return out, 0, &sqlError{err.Error()}
	}
	if len(q.Params) > 100 {
		return out, 0, &sqlError{"too many SQL variables: SQLITE_ERROR"}
	}
	args := make([]driver.NamedValue, len(q.Params))
	for i, p := range q.Params {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: p}
	}
	var rows int64
	err := d.conn.Raw(func(c any) error {
		r, err := c.(driver.QueryerContext).QueryContext(ctx, q.SQL, args)
		if err != nil {
			return wrapSQL(err)
		}
		defer r.Close()
		out, rows, err = appendRows(out, r, objects)
		return err
	})
	if err != nil {
		return out, 0, err
	}
	var changes, id, pages, size int64
	if err := d.conn.QueryRowContext(ctx, `SELECT changes(), last_insert_rowid(), (SELECT page_count FROM pragma_page_count), (SELECT page_size FROM pragma_page_size)`).Scan(&changes, &id, &pages, &size); err != nil {
		return out, 0, err
	}
	write := !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(q.SQL)), "SELECT")
	if !write {
		changes = 0
	}
	rows += billedBesides(q.SQL)
	out = fmt.Appendf(out, `,"success":true,"meta":{"served_by":"simulated","served_by_primary":%t,"timings":{"sql_duration_ms":0.1},"duration":0.1,"changes":%d,"last_row_id":%d,"changed_db":%t,"size_after":%d,"rows_read":%d,"rows_written":%d}}`,
		primary, changes, id, changes > 0, pages*size, rows, changes)
	return out, rows, nil
}

var offsetPattern = regexp.MustCompile(`(?i)\bOFFSET\s+(\d+)`)

// billedBesides are rows that a statement reads and does not give: those that an
// OFFSET skips.
func billedBesides(sql string) int64 {
	if m := offsetPattern.FindStringSubmatch(sql); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	return 0
}

func appendRows(out []byte, r driver.Rows, objects bool) ([]byte, int64, error) {
	names := r.Columns()
	if objects {
		out = append(out, `{"results":[`...)
	} else {
		out = append(out, `{"results":{"columns":[`...)
		for i, n := range names {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendString(out, n)
		}
		out = append(out, `],"rows":[`...)
	}
	values := make([]driver.Value, len(names))
	var rows int64
	for {
		err := r.Next(values)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, rows, wrapSQL(err)
		}
		if rows > 0 {
			out = append(out, ',')
		}
		rows++
		if objects {
			out = appendObject(out, names, values)
		} else {
			out = append(out, '[')
			for i, v := range values {
				if i > 0 {
					out = append(out, ',')
				}
				out = appendValue(out, v)
			}
			out = append(out, ']')
		}
	}
	if objects {
		return append(out, ']'), rows, nil
	}
	return append(out, "]}"...), rows, nil
}

// appendObject writes a row by name: of columns with one name the last is seen.
func appendObject(out []byte, names []string, values []driver.Value) []byte {
	out = append(out, '{')
	first := true
	for i, n := range names {
		last := true
		for _, later := range names[i+1:] {
			last = last && later != n
		}
		if !last {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(appendString(out, n), ':')
		out = appendValue(out, values[i])
	}
	return append(out, '}')
}

// appendValue writes a value as D1 does: every number is a double, a blob is a
// list of its bytes, and text that is not UTF-8 is repaired with U+FFFD.
func appendValue(out []byte, v driver.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(out, "null"...)
	case int64:
		return appendNumber(out, float64(v))
	case float64:
		return appendNumber(out, v)
	case bool:
		if v {
			return append(out, '1')
		}
		return append(out, '0')
	case string:
		return appendString(out, v)
	case []byte:
		out = append(out, '[')
		for i, b := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendUint(out, uint64(b), 10)
		}
		return append(out, ']')
	}
	return appendString(out, fmt.Sprint(v))
}

func appendNumber(out []byte, f float64) []byte {
	switch a := math.Abs(f); {
	case math.IsInf(f, 0) || math.IsNaN(f):
		return append(out, "null"...)
	case f == 0:
		return append(out, '0') // JSON.stringify(-0)
	case a < 1e21 && a >= 1e-6:
		return strconv.AppendFloat(out, f, 'f', -1, 64)
	default:
		return strconv.AppendFloat(out, f, 'e', -1, 64)
	}
}

const hexDigits = "0123456789abcdef"

// plain are the bytes that stand in JSON as they are.
var plain = func() (p [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		p[c] = c != '"' && c != '\\'
	}
	return p
}()

func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				out = append(append(out, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		out = append(out, s[start:i]...)
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(out, s[start:]...), '"')
}
