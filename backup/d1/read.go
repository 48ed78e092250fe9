package d1

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	api "github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/option"

	"github.com/AutumnsGrove/Patina/backup"
)

// statement is one element of a batch.
type statement struct {
	SQL string `json:"sql"`
}

// rawBody is what /raw takes: one statement, or a batch, which is one transaction.
func rawBody(statements []string) any {
	if len(statements) == 1 {
		return statement{statements[0]}
	}
	batch := make([]statement, len(statements))
	for i, s := range statements {
		batch[i] = statement{s}
	}
	return struct {
		Batch []statement `json:"batch"`
	}{batch}
}

// checkStatements refuses what JSON or SQLite would change in silence.
func checkStatements(statements []string) error {
	for i, s := range statements {
		switch {
		case !utf8.ValidString(s):
			return backup.Errorf(backup.ErrInvalid, "statement %d is not UTF-8, and JSON cannot carry it", i+1)
		case strings.IndexByte(s, 0) >= 0:
			return backup.Errorf(backup.ErrInvalid, "statement %d holds a NUL, behind which SQLite reads nothing", i+1)
		}
	}
	return nil
}

func (c *Client) raw(id string, statements []string) (call, error) {
	if err := checkStatements(statements); err != nil {
		return nil, err
	}
	body, err := c.body(rawBody(statements))
	if err != nil {
		return nil, err
	}
	var p api.DatabaseRawParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	return func(ctx context.Context, opts ...option.RequestOption) error {
		_, err := c.service.Raw(ctx, id, p, append(opts, body)...)
		return err
	}, nil
}

// Read runs statements that only read, as one transaction, and hands each row
// to h as it arrives: memory is bounded by the longest row. Statements carry no
// parameters, for D1 takes numbers as doubles.
//
// It is tried again, at most three times in all, while no row was handed over.
func (c *Client) Read(ctx context.Context, id string, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	var stats backup.ReadStats
	err := c.retry(ctx, true, func() (bool, error) {
		what, err := c.raw(id, statements)
		if err != nil {
			return false, err
		}
		body, err := c.do(ctx, what)
		if err != nil {
			return true, err
		}
		defer body.Close()
		d := newDecoder(body, h)
		err = d.envelope()
		if err == nil && d.statements != len(statements) {
			err = &Error{Status: http.StatusOK, Message: fmt.Sprintf("%d statements were answered of %d", d.statements, len(statements)), garbled: true}
		}
		stats = d.stats
		return !d.begun, c.washed(err)
	})
	var handler *handlerError
	if errors.As(err, &handler) {
		return stats, handler.err
	}
	return stats, named(err, "read", id)
}

// ExecStats is what a write did.
type ExecStats struct {
	Changes, RowsRead, RowsWritten, SizeAfter int64
}

// Exec runs statements that write, as one transaction. It is sent once: an
// error that wraps ErrUnavailable leaves open whether it was done.
func (c *Client) Exec(ctx context.Context, id string, statements []string) (ExecStats, error) {
	what, err := c.raw(id, statements)
	if err != nil {
		return ExecStats{}, err
	}
	body, err := c.do(ctx, what)
	if err != nil {
		return ExecStats{}, named(err, "write", id)
	}
	defer body.Close()
	d := newDecoder(body, ignore{})
	if err := d.envelope(); err != nil {
		return ExecStats{}, named(c.washed(err), "write", id)
	}
	return ExecStats{Changes: d.changes, RowsRead: d.stats.RowsRead, RowsWritten: d.written, SizeAfter: d.stats.SizeAfter}, nil
}

type ignore struct{}

func (ignore) Columns(int, []string) error  { return nil }
func (ignore) Row(int, []backup.Cell) error { return nil }

// handlerError carries an error of the handler's own out of the decoder.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }
