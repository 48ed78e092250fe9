package d1

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what D1's import asks for
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// The probes look at what exports and restores rest on, and what Cloudflare's
// documentation does not say. The first three read no row of anybody's.

// ProbeRead sends a batch of two statements.
func (c *Client) ProbeRead(ctx context.Context, id string) (backup.ReadStats, error) {
	return c.Read(ctx, id, []string{"SELECT 1", "SELECT 'patina'"}, ignore{})
}

// ProbeAnswer asks for an answer of so many million bytes.
func (c *Client) ProbeAnswer(ctx context.Context, id string, millions int) error {
	_, err := c.Read(ctx, id, []string{fmt.Sprintf(
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT printf('%%.*c', 1000000, 'x') FROM n", millions)}, ignore{})
	return err
}

// ProbeRefusal gives the error of a query that names no table; nil says that
// it was answered all the same.
func (c *Client) ProbeRefusal(ctx context.Context, id string) error {
	_, err := c.Read(ctx, id, []string{"SELECT * FROM patina_probe_no_such_table"}, ignore{})
	return err
}

// ProbeBatch sends, to a database that may be written to, a batch whose last
// statement fails, and tells whether nothing of it stayed.
func (c *Client) ProbeBatch(ctx context.Context, id string) (whole bool, err error) {
	before, err := c.probeTables(ctx, id)
	if err != nil {
		return false, err
	}
	_, err = c.Exec(ctx, id, []string{"CREATE TABLE patina_probe_a(x)", "INSERT INTO patina_probe_a VALUES(1)", "INSERT INTO patina_probe_nowhere VALUES(1)"})
	if err == nil {
		return false, backup.Errorf(backup.ErrUnavailable, "a batch that must fail was said to succeed")
	}
	if !errors.Is(err, ErrNoTable) {
		return false, err
	}
	after, err := c.probeTables(ctx, id)
	return after == before, err
}

// ProbeBookmark tells, of a database that may be written to, whether its
// bookmark stands still while it is only read, and moves with a write.
func (c *Client) ProbeBookmark(ctx context.Context, id string) (still, moves bool, err error) {
	if _, err := c.Exec(ctx, id, []string{"CREATE TABLE patina_probe_b(x)"}); err != nil {
		return false, false, err
	}
	first, err := c.Bookmark(ctx, id, time.Time{})
	if err == nil {
		_, err = c.Read(ctx, id, []string{"SELECT x FROM patina_probe_b"}, ignore{})
	}
	if err != nil {
		return false, false, err
	}
	second, err := c.Bookmark(ctx, id, time.Time{})
	if err == nil {
		_, err = c.Exec(ctx, id, []string{"INSERT INTO patina_probe_b VALUES(1)"})
	}
	if err != nil {
		return false, false, err
	}
	third, err := c.Bookmark(ctx, id, time.Time{})
	return first == second, second != third, err
}

// ProbeImport imports, into a database that may be written to, a file that
// fails in its middle, and tells whether nothing of it stayed.
func (c *Client) ProbeImport(ctx context.Context, id string) (whole bool, err error) {
	before, err := c.probeTables(ctx, id)
	if err != nil {
		return false, err
	}
	text := []byte("CREATE TABLE patina_probe_c(x);\nINSERT INTO patina_probe_c VALUES(1);\nINSERT INTO patina_probe_nowhere VALUES(1);\n")
	sum := md5.Sum(text) //nolint:gosec // likewise
	_, err = c.Import(ctx, id, Upload{
		Size: int64(len(text)), MD5: hex.EncodeToString(sum[:]),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	})
	if err == nil {
		return false, backup.Errorf(backup.ErrUnavailable, "an import that must fail was said to succeed")
	}
	if errors.Is(err, backup.ErrUnavailable) || errors.Is(err, backup.ErrDenied) {
		return false, err
	}
	after, err := c.probeTables(ctx, id)
	return after == before, err
}

// probeTables counts what probes have made in a database.
func (c *Client) probeTables(ctx context.Context, id string) (int, error) {
	n := &rowCount{}
	_, err := c.Read(ctx, id, []string{"SELECT name FROM sqlite_schema WHERE name LIKE 'patina_probe_%'"}, n)
	return n.rows, err
}

type rowCount struct{ rows int }

func (*rowCount) Columns(int, []string) error    { return nil }
func (n *rowCount) Row(int, []backup.Cell) error { n.rows++; return nil }
