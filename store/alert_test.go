package store_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestDeliveries(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	c := store.AlertConfig{Kind: "webhook", Name: "Team", URLSealed: []byte{1}, Enabled: true, Origin: "X", CreatedAt: t0, UpdatedAt: t0}
	if made, err := s.EnsureAlertConfig(ctx, c); !made || err != nil {
		t.Fatal(made, err)
	}
	c.ID = must(s.AlertConfigs(ctx))(t)[0].ID
	if made, err := s.EnsureAlertConfig(ctx, c); made || err != nil {
		t.Errorf("the channel of an origin is made again: %v", err)
	}
	other := c
	other.ID, other.Origin = "", "Y"
	if made, err := s.EnsureAlertConfig(ctx, other); !made || err != nil || must(s.AlertConfigs(ctx))(t)[1].Name != "Team 2" {
		t.Errorf("a name that is taken: %v", err)
	}
	e := backup.Event{ID: uuid.NewString(), At: t0, Kind: backup.EventStale, Message: "m"}
	if _, err := s.AddEvent(ctx, e); err != nil {
		t.Fatal(err)
	}
	if yes := must(s.SomethingToTell(ctx))(t); !yes {
		t.Error("an open event is nothing to tell")
	}
	if err := s.Await(ctx, e.ID, c.ID, "problem"); err != nil {
		t.Fatal(err)
	}
	if err := s.DecideEvent(ctx, e.ID, store.EventTold, t0); err != nil {
		t.Fatal(err)
	}
	want := []store.Queue{{ChannelID: c.ID, Class: "problem", Waiting: 1, Sent: []time.Time{}}}
	if got := must(s.Queues(ctx, t0.Add(-time.Hour)))(t); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	d := store.Delivery{ID: uuid.NewString(), ChannelID: c.ID, Class: "problem", Event: e.Kind, Title: "t", CreatedAt: t0}
	if err := s.InsertDelivery(ctx, d, []byte("body"), []string{e.ID}); err != nil {
		t.Fatal(err)
	}
	if yes := must(s.SomethingToTell(ctx))(t); yes {
		t.Error("what was told is told again")
	}
	// Of two tries at once the later one counts.
	first, body, err := s.BeginTry(ctx, d.ID)
	if err != nil || string(body) != "body" || first.Tries != 1 {
		t.Fatal(first, err)
	}
	second, _, err := s.BeginTry(ctx, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	first.Status, second.Status = store.DeliveryDead, store.DeliveryDone
	if err := s.EndTry(ctx, first, store.Try{N: first.Tries, At: t0}); err != store.ErrFenced {
		t.Errorf("the earlier try ends with %v", err)
	}
	if err := s.EndTry(ctx, second, store.Try{N: second.Tries, At: t0, Status: 204, Answer: "a\x00b"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.BeginTry(ctx, d.ID); err != store.ErrFenced {
		t.Errorf("what was delivered is tried again: %v", err)
	}
	if got := must(s.Deliveries(ctx, c.ID, 5))(t); len(got) != 1 || got[0].Status != store.DeliveryDone || got[0].Tries != 2 {
		t.Errorf("%+v", got)
	}
	if got := must(s.Tries(ctx, []string{d.ID}))(t)[d.ID]; len(got) != 1 || got[0].Answer != "a\uFFFDb" {
		t.Errorf("%+v", got)
	}
	if err := s.ForgetDeliveries(ctx, t0.Add(time.Second)); err != nil || len(must(s.Deliveries(ctx, c.ID, 5))(t)) != 0 {
		t.Errorf("old deliveries stay: %v", err)
	}
	if err := s.ForgetEvents(ctx, t0.Add(time.Second)); err != nil || len(must(s.Events(ctx, time.Time{}, 5))(t)) != 0 {
		t.Errorf("old events stay: %v", err)
	}
}

func TestCostByMonth(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	db := uuid.NewString()
	for i, date := range []string{"2026-10-31", "2026-11-01", "2026-11-02"} {
		job := uuid.NewString()
		_, err := s.Pool().Exec(ctx, "INSERT INTO backup_jobs (id, kind, trigger, status, date, created_at) VALUES ($1, 'backup', 'manual', 'completed', $2, $3)", job, date, t0)
		if err == nil {
			_, err = s.Pool().Exec(ctx, `INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at, size_bytes, requests, retries, rows_read, bytes_received)
				VALUES ($1, $2, $3, 'a', $4, $5, $6, 10, 3, 1, 100, 50)`, uuid.NewString(), job, db, []string{"success", "success", "failed"}[i], date, t0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got := must(s.CostByMonth(ctx, db, 12))(t)
	want := []store.MonthCost{
		{Month: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Backups: 2, Stored: 20, Cost: backup.Cost{Requests: 6, Retries: 2, RowsRead: 200, Bytes: 100}},
		{Month: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), Backups: 1, Stored: 10, Cost: backup.Cost{Requests: 3, Retries: 1, RowsRead: 100, Bytes: 50}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := must(s.CostByMonth(ctx, db, 1))(t); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	totals := must(s.ResultTotals(ctx))(t)
	if totals.ByStatus[backup.ResultFailed] != 1 || totals.ByStatus[backup.ResultSuccess] != 2 || totals.Cost.RowsRead != 300 {
		t.Errorf("%+v", totals)
	}
}
