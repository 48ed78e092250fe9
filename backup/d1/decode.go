package d1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/AutumnsGrove/Patina/backup"
)

// decoder reads an answer of /raw as a stream. The keys of its objects may come
// in any order.
type decoder struct {
	in         *counter
	dec        *jsontext.Decoder
	h          backup.RowHandler
	statements int  // answered
	begun      bool // something was handed over
	started    bool // Columns was called for this statement
	stats      backup.ReadStats
	changes    int64
	written    int64
	columns    int // of this statement; -1 while it is not known
	success    bool
	errors     []apiError
	cells      []backup.Cell
	arena      []byte
}

type counter struct {
	r       io.Reader
	n, mark int64
}

// maxValue bounds what is held of an answer at once: a row of D1 is at most
// 2,000,000 bytes, which even as hexadecimal and escaped is far below.
const maxValue = 64 << 20

func (c *counter) Read(b []byte) (int, error) {
	if c.n-c.mark > maxValue {
		return 0, errShape("a value is longer than D1 can hold")
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func newDecoder(r io.Reader, h backup.RowHandler) *decoder {
	in := &counter{r: r}
	return &decoder{
		in: in, h: h, stats: backup.ReadStats{Primary: true},
		dec: jsontext.NewDecoder(in, jsontext.AllowInvalidUTF8(true)),
	}
}

// envelope reads the whole answer, and nothing may follow it.
func (d *decoder) envelope() error {
	if k := d.dec.PeekKind(); k != '{' {
		return d.fault(d.peekError(k))
	}
	err := d.object(func(key string) error {
		switch key {
		case "result":
			if d.dec.PeekKind() != '[' {
				return d.dec.SkipValue()
			}
			return d.array(d.statement)
		case "success":
			return d.boolean(&d.success)
		case "errors":
			if d.dec.PeekKind() != '[' {
				return d.dec.SkipValue()
			}
			return d.array(d.apiError)
		}
		return d.dec.SkipValue()
	})
	if err == nil {
		switch _, end := d.dec.ReadToken(); {
		case end == nil:
			err = errShape("something follows the answer")
		case !errors.Is(end, io.EOF):
			err = end
		}
	}
	d.stats.Bytes = d.in.n
	if err != nil {
		return d.fault(err)
	}
	if !d.success || len(d.errors) > 0 {
		return failure(http.StatusOK, d.errors)
	}
	return nil
}

// shapeError is JSON that is not what the API is documented to give.
type shapeError string

func (e shapeError) Error() string { return string(e) }

func errShape(format string, args ...any) error { return shapeError(fmt.Sprintf(format, args...)) }

func (d *decoder) peekError(k jsontext.Kind) error {
	if k == 0 { // an error, or the end
		_, err := d.dec.ReadToken()
		return err
	}
	return errShape("it is not an object")
}

// fault tells an answer that was cut from one that is not JSON.
func (d *decoder) fault(err error) error {
	var handler *handlerError
	if errors.As(err, &handler) {
		return err
	}
	var shape shapeError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &shape):
		return &Error{Status: http.StatusOK, Message: "the answer is not of the API's shape: " + err.Error(), garbled: true}
	case d.in.n == 0 && errors.Is(err, io.EOF):
		return notJSON(nil)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return &Error{Status: http.StatusOK, Message: fmt.Sprintf("the answer was cut after %d bytes", d.in.n), interrupted: true}
	case errors.As(err, &syntax) && !d.begun:
		return &Error{Status: http.StatusOK, Message: "answered with something that is not JSON", garbled: true}
	case errors.As(err, &syntax):
		return &Error{Status: http.StatusOK, Message: "the answer stopped being JSON", interrupted: true}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &Error{Status: http.StatusOK, Message: fmt.Sprintf("the answer was cut after %d bytes: %v", d.in.n, err), interrupted: true}
}

func (d *decoder) object(member func(key string) error) error {
	if d.dec.PeekKind() != '{' {
		if _, err := d.dec.ReadToken(); err != nil {
			return err
		}
		return errShape("an object was expected")
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for d.dec.PeekKind() != '}' {
		t, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		if err := member(t.String()); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *decoder) array(element func() error) error {
	if d.dec.PeekKind() != '[' {
		if _, err := d.dec.ReadToken(); err != nil {
			return err
		}
		return errShape("an array was expected")
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for d.dec.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *decoder) boolean(to *bool) error {
	t, err := d.dec.ReadToken()
	if err != nil {
		return err
	}
	if k := t.Kind(); k != 't' && k != 'f' {
		return errShape("true or false was expected")
	}
	*to = t.Bool()
	return nil
}

func (d *decoder) number(to *float64) error {
	t, err := d.dec.ReadToken()
	if err != nil {
		return err
	}
	switch t.Kind() {
	case '0':
		v, err := strconv.ParseFloat(t.String(), 64)
		if err != nil {
			return errShape("a number cannot be read")
		}
		*to = v
		return nil
	case 'n':
		return nil
	}
	return errShape("a number was expected")
}

func (d *decoder) apiError() error {
	var e apiError
	err := d.object(func(key string) error {
		switch key {
		case "code":
			var f float64
			err := d.number(&f)
			e.Code = int(f)
			return err
		case "message":
			v, err := d.dec.ReadValue()
			if err == nil {
				var text []byte
				if text, err = jsontext.AppendUnquote(nil, v); err == nil {
					e.Message = string(text)
				}
			}
			return err
		}
		return d.dec.SkipValue()
	})
	d.errors = append(d.errors, e)
	return err
}

// statement reads one element of the result.
func (d *decoder) statement() error {
	n := d.statements
	d.statements++
	d.started, d.columns = false, -1
	ok := true
	err := d.object(func(key string) error {
		switch key {
		case "results":
			if d.dec.PeekKind() != '{' {
				return d.dec.SkipValue()
			}
			return d.results(n)
		case "success":
			return d.boolean(&ok)
		case "meta":
			if d.dec.PeekKind() != '{' {
				return d.dec.SkipValue()
			}
			return d.meta()
		}
		return d.dec.SkipValue()
	})
	if err == nil && !ok {
		return errShape("statement %d did not succeed", n+1)
	}
	if err == nil {
		err = d.start(n, nil)
	}
	return err
}

// width holds every row, and the columns' names wherever they come, to one
// number: a row that does not fit would be copied as another row.
func (d *decoder) width(n int) error {
	if d.columns >= 0 && d.columns != n {
		return errShape("%d values or columns came where there were %d", n, d.columns)
	}
	d.columns = n
	return nil
}

func (d *decoder) start(n int, names []string) error {
	if d.started {
		return nil
	}
	d.started, d.begun = true, true
	if err := d.h.Columns(n, names); err != nil {
		return &handlerError{err}
	}
	return nil
}

func (d *decoder) results(n int) error {
	return d.object(func(key string) error {
		switch key {
		case "columns":
			var names []string
			err := d.array(func() error {
				t, err := d.dec.ReadToken()
				if err == nil && t.Kind() != '"' {
					return errShape("a column's name was expected")
				}
				names = append(names, t.String())
				return err
			})
			if err != nil {
				return err
			}
			if err := d.width(len(names)); err != nil {
				return err
			}
			return d.start(n, names)
		case "rows":
			return d.array(func() error { return d.row(n) })
		}
		return d.dec.SkipValue()
	})
}

// row takes one row's text whole and cuts it into cells, which point into it
// wherever nothing is escaped.
func (d *decoder) row(n int) error {
	text, err := d.dec.ReadValue()
	if err != nil {
		return err
	}
	if text.Kind() != '[' {
		return errShape("a row was expected")
	}
	if err := d.start(n, nil); err != nil {
		return err
	}
	d.in.mark = d.in.n
	if err := d.cut(text[1 : len(text)-1]); err != nil {
		return err
	}
	if err := d.width(len(d.cells)); err != nil {
		return err
	}
	if err := d.h.Row(n, d.cells); err != nil {
		return &handlerError{err}
	}
	return nil
}

// cut splits the inside of a valid JSON array of nulls, strings and numbers.
func (d *decoder) cut(text []byte) error {
	d.cells, d.arena = d.cells[:0], d.arena[:0]
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case c == '"':
			end := closing(text, i)
			cell, err := d.text(text[i : end+1])
			if err != nil {
				return err
			}
			d.cells = append(d.cells, backup.Cell{Kind: backup.CellText, Bytes: cell})
			i = end + 1
		case c == 'n':
			d.cells = append(d.cells, backup.Cell{})
			i += len("null")
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(text) && text[end] != ',' && text[end] > ' ' {
				end++
			}
			d.cells = append(d.cells, backup.Cell{Kind: backup.CellNumber, Bytes: text[i:end]})
			i = end
		default:
			return errShape("a row holds something that is not a null, a string or a number")
		}
	}
	return nil
}

// closing gives the place of the quote that ends the string begun at i.
func closing(text []byte, i int) int {
	for j := i + 1; ; {
		k := j + bytes.IndexByte(text[j:], '"')
		slashes := 0
		for text[k-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return k
		}
		j = k + 1
	}
}

func (d *decoder) text(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	start := len(d.arena)
	var ok bool
	if d.arena, ok = appendUnescaped(d.arena, quoted[1:len(quoted)-1]); ok {
		return d.arena[start:len(d.arena):len(d.arena)], nil
	}
	var err error
	d.arena, err = jsontext.AppendUnquote(d.arena[:start], quoted)
	if err != nil && len(d.arena) == start {
		return nil, errShape("a string cannot be read")
	}
	return d.arena[start:len(d.arena):len(d.arena)], nil
}

// appendUnescaped undoes the short escapes and those of control characters, a
// run of plain text at a time; it tells whether there were no others. The
// string is known to be valid.
func appendUnescaped(dst, text []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(dst, text...), true
		}
		dst = append(dst, text[:i]...)
		c, n := text[i+1], 2
		switch c {
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'u':
			v, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
			if err != nil || v >= 0x80 {
				return dst, false
			}
			c, n = byte(v), 6
		}
		dst = append(dst, c)
		text = text[i+n:]
	}
}

func (d *decoder) meta() error {
	var read, written, changes, size, duration float64
	err := d.object(func(key string) error {
		switch key {
		case "rows_read":
			return d.number(&read)
		case "rows_written":
			return d.number(&written)
		case "changes":
			return d.number(&changes)
		case "size_after":
			return d.number(&size)
		case "duration":
			return d.number(&duration)
		case "served_by_primary":
			if d.dec.PeekKind() == 'n' {
				return d.dec.SkipValue()
			}
			var primary bool
			err := d.boolean(&primary)
			d.stats.Primary = d.stats.Primary && primary
			return err
		}
		return d.dec.SkipValue()
	})
	d.stats.RowsRead += int64(read)
	d.stats.Duration += time.Duration(duration * float64(time.Millisecond))
	if size > 0 {
		d.stats.SizeAfter = int64(size)
	}
	d.written += int64(written)
	d.changes += int64(changes)
	return err
}
