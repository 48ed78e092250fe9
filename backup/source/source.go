// Package source gives one read-only interface over a D1 database and a local
// SQLite file, for export and for value comparison.
//
// It owns how statements reach a database, how answers come back as cells, and
// what a database's values add up to. It knows nothing of dumps, and it never writes to what it reads.
package source

import (
	"context"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
)

// Source is a database that can be read.
type Source interface {
	backup.Reader
	// Bookmark gives the Time Travel bookmark of this moment, or "" where the
	// database has none (a local file).
	Bookmark(ctx context.Context) (string, error)
	Describe() Description
}

// Description says what a source is and what may be relied on.
type Description struct {
	Name string // for people and for the dump's header
	ID   string // Cloudflare's UUID; "" for a file
	// OneTransaction: all reads of this source see the one state it had when it
	// was opened.
	OneTransaction bool
	// Exact: text arrives as the bytes that are stored. Over JSON, bytes that
	// are not UTF-8 arrive as U+FFFD.
	Exact bool
}

type database struct {
	client   *d1.Client
	id, name string
}

// D1 gives the source of one D1 database.
func D1(c *d1.Client, id, name string) Source { return &database{c, id, name} }

func (d *database) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	return d.client.Read(ctx, d.id, statements, h)
}

func (d *database) Bookmark(ctx context.Context) (string, error) {
	return d.client.Bookmark(ctx, d.id, time.Time{})
}

func (d *database) Describe() Description { return Description{Name: d.name, ID: d.id} }
