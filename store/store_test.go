package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

var t0 = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  string
		kind error
	}{
		"not a URL":     {"postgres://%zz:hunter2@", backup.ErrInvalid},
		"nothing there": {"postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2", backup.ErrUnavailable},
		"no socket":     {"postgres:///x?host=/nonexistent", backup.ErrUnavailable},
		"no database":   {strings.Replace(storetest.EmptyURL(t), ":///test", ":///none", 1), backup.ErrUnavailable},
	} {
		s, err := store.Open(t.Context(), c.url)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, c.kind) || backup.Next(err) == "" {
			t.Errorf("%s: got %v, next %q", name, err, backup.Next(err))
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is shown: %v", name, err)
		}
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	stop := errors.New("stop")
	err := s.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		if err := s.SetSetting(ctx, "a", 1); err != nil {
			return err
		}
		// Nested: the same transaction.
		return s.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
			var n int
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM settings WHERE key = 'a'").Scan(&n); err != nil || n != 1 {
				t.Errorf("the inner one sees %d rows, %v", n, err)
			}
			return stop
		})
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	var v int
	if ok, err := s.Setting(ctx, "a", &v); err != nil || ok {
		t.Fatalf("rolled back, yet found %v %v", v, err)
	}
	if err := s.InTx(ctx, func(_ pgx.Tx, s *store.Store) error { return s.SetSetting(ctx, "a", 2) }); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Setting(ctx, "a", &v); err != nil || !ok || v != 2 {
		t.Fatalf("committed, yet found %v %v %v", ok, v, err)
	}
}

// What a server that goes away looks like: of kind ErrUnavailable, so that a
// job tries again; the end of the caller's own context is not.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ping(gone); !errors.Is(err, context.Canceled) || backup.Kind(err) != nil {
		t.Errorf("cancelled: %v of kind %v", err, backup.Kind(err))
	}
	err := s.InTx(t.Context(), func(tx pgx.Tx, s *store.Store) error {
		var pid int
		if err := tx.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		if _, err := s.Pool().Exec(t.Context(), "SELECT pg_terminate_backend($1)", pid); err != nil {
			return err
		}
		return s.Ping(t.Context())
	})
	if !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("terminated: %v", err)
	}
	s.Close()
	if err := s.Ping(t.Context()); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
}
