package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/sample"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// planned is a transaction that asks for the plan of every query before it asks
// the query.
type planned struct {
	pgx.Tx
	t     *testing.T
	asked int
	whole []string // what reads a large table from one end to the other
}

// large are the tables that grow with time.
var large = []string{"backup_results", "backup_inventory", "events", "audit_log", "deliveries", "drill_results", "delivery_attempts"}

type planNode struct {
	Type  string     `json:"Node Type"`
	Table string     `json:"Relation Name"`
	Plans []planNode `json:"Plans"`
}

func (n planNode) reads() []string {
	var out []string
	if n.Type == "Seq Scan" {
		out = append(out, n.Table)
	}
	for _, p := range n.Plans {
		out = append(out, p.reads()...)
	}
	return out
}

func (p *planned) look(ctx context.Context, sql string, args []any) {
	p.t.Helper()
	var raw []byte
	if err := p.Tx.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+sql, args...).Scan(&raw); err != nil {
		p.t.Fatalf("explain %s: %v", sql, err)
	}
	var plans []struct{ Plan planNode }
	ok(p.t, json.Unmarshal(raw, &plans))
	p.asked++
	for _, table := range plans[0].Plan.reads() {
		if slices.Contains(large, table) {
			p.whole = append(p.whole, fmt.Sprintf("%s is read whole by %s", table, strings.Join(strings.Fields(sql), " ")))
		}
	}
}

func (p *planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	p.look(ctx, sql, args)
	return p.Tx.Query(ctx, sql, args...)
}

func (p *planned) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	p.look(ctx, sql, args)
	return p.Tx.QueryRow(ctx, sql, args...)
}

func (p *planned) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		p.look(ctx, q.SQL, q.Arguments)
	}
	return p.Tx.SendBatch(ctx, b)
}

// What pages, scrapes and the looks of every minute ask reads pieces of indexes:
// nothing of it reads a table that grows with time from one end to the other.
func TestPagesReadIndexes(t *testing.T) {
	t.Parallel()
	s, now := storetest.New(t), time.Now().UTC()
	ctx := t.Context()
	ok(t, sample.Fill(ctx, s.Pool(), sample.Small, now))
	jobs, _, err := s.Jobs(ctx, store.JobFilter{Trigger: backup.TriggerNightly, Limit: 1})
	ok(t, err)
	drills, _, err := s.Drills(ctx, 1, "")
	ok(t, err)
	weeks, err := s.Archives(ctx, 1)
	ok(t, err)
	channels, err := s.AlertConfigs(ctx)
	ok(t, err)
	standings, err := s.Standings(ctx, store.DatabaseFilter{})
	ok(t, err)
	one, job, drill := standings[7], jobs[0].ID, drills[0].ID
	ids := []string{one.Database.ID, standings[20].Database.ID}
	date := backup.DateOf(now.AddDate(0, 0, -3))
	for name, ask := range map[string]func(s *store.Store) error{
		"all standings": func(s *store.Store) error { _, err := s.Standings(ctx, store.DatabaseFilter{IDs: ids}); return err },
		"some databases": func(s *store.Store) error {
			_, _, err := s.StandingPage(ctx, store.StandingFilter{Now: now})
			return err
		},
		"their sums":     func(s *store.Store) error { _, err := s.StandingSums(ctx, store.StandingFilter{Now: now}); return err },
		"their days":     func(s *store.Store) error { _, err := s.Days(ctx, ids, date); return err },
		"one's copies":   func(s *store.Store) error { _, err := s.NewestCopies(ctx, ids[0], 20); return err },
		"one's results":  func(s *store.Store) error { _, err := s.DatabaseResults(ctx, ids[0], time.Time{}, 20); return err },
		"one's proofs":   func(s *store.Store) error { _, err := s.DatabaseProofs(ctx, ids[0], 6); return err },
		"one's cost":     func(s *store.Store) error { _, err := s.CostByMonth(ctx, ids[0], 12); return err },
		"what runs":      func(s *store.Store) error { _, err := s.ActiveJob(ctx); return err },
		"what ran last":  func(s *store.Store) error { _, err := s.LastCompletedJob(ctx); return err },
		"the last drill": func(s *store.Store) error { _, err := s.LastDrill(ctx); return err },
		"jobs": func(s *store.Store) error {
			return pages(s.Jobs, ctx, store.JobFilter{}, func(f *store.JobFilter, c string) { f.Cursor = c })
		},
		"jobs of a name": func(s *store.Store) error {
			_, _, err := s.Jobs(ctx, store.JobFilter{Database: one.Database.Name})
			return err
		},
		"jobs of a date": func(s *store.Store) error {
			_, _, err := s.Jobs(ctx, store.JobFilter{From: date, To: date})
			return err
		},
		"a job's results": func(s *store.Store) error {
			return pages(s.ResultPage, ctx, store.ResultFilter{JobID: job, Urgent: true}, func(f *store.ResultFilter, c string) { f.Cursor = c })
		},
		"a job's sums":      func(s *store.Store) error { _, err := s.ResultSums(ctx, store.ResultFilter{JobID: job}); return err },
		"a job's changes":   func(s *store.Store) error { _, err := s.JobVersions(ctx, []string{job, drill}); return err },
		"a drill's sums":    func(s *store.Store) error { _, err := s.DrillSums(ctx, drill, store.DrillFilter{}); return err },
		"a drill's results": func(s *store.Store) error { _, _, err := s.DrillPage(ctx, drill, store.DrillFilter{}); return err },
		"copies": func(s *store.Store) error {
			return pages(s.Copies, ctx, store.CopyFilter{}, func(f *store.CopyFilter, c string) { f.Cursor = c })
		},
		"copies of a kind": func(s *store.Store) error {
			return pages(s.Copies, ctx, store.CopyFilter{Kind: backup.Manual}, func(f *store.CopyFilter, c string) { f.Cursor = c })
		},
		"copies of a date": func(s *store.Store) error { _, _, err := s.Copies(ctx, store.CopyFilter{Date: date}); return err },
		"copies of a name": func(s *store.Store) error {
			_, _, err := s.Copies(ctx, store.CopyFilter{Database: one.Database.Name})
			return err
		},
		"copies of some": func(s *store.Store) error { _, _, err := s.Copies(ctx, store.CopyFilter{DatabaseIDs: ids}); return err },
		"an archive": func(s *store.Store) error {
			return pages(s.Copies, ctx, store.CopyFilter{Archive: weeks[0].Week, Quarantined: true}, func(f *store.CopyFilter, c string) { f.Cursor = c })
		},
		"what to download": func(s *store.Store) error { _, err := s.CopiesOn(ctx, date, one.Database.Name); return err },
		"one copy":         func(s *store.Store) error { _, err := s.Copy(ctx, one.Newest.ID); return err },
		"restores": func(s *store.Store) error {
			return pages(s.RestorePage, ctx, store.RestoreFilter{}, func(f *store.RestoreFilter, c string) { f.Cursor = c })
		},
		"the log": func(s *store.Store) error {
			return pages(s.Audit, ctx, store.AuditFilter{}, func(f *store.AuditFilter, c string) { f.Cursor = c })
		},
		"the log of one": func(s *store.Store) error {
			_, _, err := s.Audit(ctx, store.AuditFilter{Actor: "person 7"})
			return err
		},
		"the log's denials": func(s *store.Store) error {
			_, _, err := s.Audit(ctx, store.AuditFilter{Action: "denied", Outcome: "refused"})
			return err
		},
		"the log's actions": func(s *store.Store) error { _, err := s.AuditActions(ctx); return err },
		"deliveries":        func(s *store.Store) error { _, err := s.Deliveries(ctx, channels[0].ID, 25); return err },
		"undelivered":       func(s *store.Store) error { _, err := s.Undelivered(ctx, 3, 100); return err },
		"untold":            func(s *store.Store) error { _, err := s.Untold(ctx); return err },
		"stale, told":       func(s *store.Store) error { _, err := s.UnrecoveredStale(ctx); return err },
		"something to tell": func(s *store.Store) error { _, err := s.SomethingToTell(ctx); return err },
		"open events":       func(s *store.Store) error { _, err := s.OpenEvents(ctx, 1000); return err },
		"open results":      func(s *store.Store) error { _, err := s.OpenResults(ctx, nil); return err },
		"jobs to finish":    func(s *store.Store) error { _, err := s.JobsToFinish(ctx); return err },
		"sums of results":   func(s *store.Store) error { _, err := s.ResultTotals(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := s.Pool().Begin(ctx)
			ok(t, err)
			defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
			p := &planned{Tx: tx, t: t}
			ok(t, ask(s.With(p)))
			for _, w := range p.whole {
				t.Error(w)
			}
			if p.asked == 0 {
				t.Error("nothing was asked")
			}
		})
	}
}

// pages asks for the first page of a list, and for the one after it.
func pages[F, T any](list func(context.Context, F) ([]T, string, error), ctx context.Context, f F, at func(*F, string)) error { //nolint:revive // the list comes first
	_, next, err := list(ctx, f)
	if err == nil && next != "" {
		at(&f, next)
		_, _, err = list(ctx, f)
	}
	return err
}
