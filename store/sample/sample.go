// Package sample fills an empty database with a made-up history of any size, for
// measuring: databases, nights of results, copies, archives, drills, events,
// deliveries and an audit log, in the shapes that a real installation has.
//
// It owns that history and nothing else. It writes rows where the rest of the
// program would have worked for them, so that it is never to be pointed at a
// database that anybody uses: Fill refuses one that holds a database or a job.
package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/AutumnsGrove/Patina/backup"
)

// Size says how much is made.
type Size struct {
	Databases int
	Nights    int // of results, one a database and night; the last one ended an hour ago
	Stored    int // of these nights, how many have listed copies
	Archives  int // weeks
	Jobs      int // beside the nights, by hand
	Drills    int // each over every database, newest and oldest copy
	Events    int
	Audit     int // lines
}

// Large is 5,000 databases with 2 million results.
var Large = Size{Databases: 5000, Nights: 400, Stored: 90, Archives: 12, Jobs: 4000, Drills: 12, Events: 60_000, Audit: 200_000}

// Small is enough for a planner to prefer an index where there is one.
var Small = Size{Databases: 500, Nights: 200, Stored: 90, Archives: 12, Jobs: 2000, Drills: 6, Events: 20_000, Audit: 50_000}

// Fill makes the history, as of now, and counts it for the planner. Errors:
// ErrConflict where something is there already.
func Fill(ctx context.Context, pool *pgxpool.Pool, size Size, now time.Time) error {
	var used bool
	if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM databases) OR EXISTS (SELECT FROM backup_jobs)").Scan(&used); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	if used {
		return backup.Errorf(backup.ErrConflict, "sample: this database is in use; a made-up history goes into an empty one")
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	defer conn.Release()
	for _, p := range parts {
		if _, err := conn.Exec(ctx, p.sql, pgx.NamedArgs{
			"now": now.UTC(), "databases": size.Databases, "nights": size.Nights, "stored": min(size.Stored, size.Nights), "archives": size.Archives,
			"jobs": size.Jobs, "drills": size.Drills, "events": size.Events, "audit": size.Audit,
		}); err != nil {
			return fmt.Errorf("sample: %s: %w", p.what, err)
		}
	}
	return nil
}

// part is one step of the filling.
type part struct{ what, sql string }

// id makes a UUID of a kind (two hexadecimal digits) and a number, so that one
// part finds what another made, and rows lie in the order of time as they do
// with UUIDv7.
func id(kind, n string) string {
	return "('0190" + kind + "00-0000-7000-8000-' || lpad(to_hex(" + n + "), 12, '0'))::uuid"
}

// databaseID scatters the databases, as Cloudflare's random UUIDs do.
func databaseID(n string) string { return "md5('database ' || (" + n + "))::uuid" }

// name gives the database of a number a name.
func name(n string) string {
	return "((ARRAY['auth','blog','shop','forum','metrics','sessions','media','orders','search','mail'])[1 + (" + n + ") % 10] || '-' || " +
		"(ARRAY['eu','us','ap','dev','stage'])[1 + (" + n + ") / 10 % 5] || '-' || lpad((" + n + ")::text, 5, '0'))"
}
