package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func appendAudit(t *testing.T, s *store.Store, actor, action string, at time.Time) store.AuditEntry {
	t.Helper()
	return must(s.AppendAudit(t.Context(), store.AuditEntry{At: at, Actor: actor, Action: action, Target: "database groveauth", Outcome: "done", IP: "192.0.2.1", UserAgent: "curl", RequestID: "r"}))(t)
}

// Entries written at once by many are one unbroken chain.
func TestAuditAtOnce(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	if head := must(s.VerifyAudit(ctx))(t); head != (store.AuditHead{}) {
		t.Fatalf("an empty log: %+v", head)
	}
	var g errgroup.Group
	for range 40 {
		g.Go(func() error {
			_, err := s.AppendAudit(ctx, store.AuditEntry{At: time.Now(), Actor: "ada", Action: "download", Outcome: "done"})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	head := must(s.VerifyAudit(ctx))(t)
	if head.ID != 40 || head != must(s.AuditHead(ctx))(t) {
		t.Fatalf("head %+v", head)
	}
	// One rolled back leaves no gap.
	stop := errors.New("stop")
	if err := s.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		appendAudit(t, s, "ada", "restore", t0)
		return stop
	}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if e := appendAudit(t, s, "ada", "a\xff\x00b", t0); e.ID != 41 || e.Action != "a\uFFFD\uFFFDb" {
		t.Fatalf("got %+v", e)
	}
	if _, err := s.VerifyAudit(ctx, head); err != nil {
		t.Fatal(err)
	}
}

func TestAuditTampering(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql, want string
		head      bool // only a head kept elsewhere shows it
	}{
		"changed":         {"UPDATE audit_log SET actor = 'bob' WHERE id = 3", "entry 3 was changed", false},
		"moved in time":   {"UPDATE audit_log SET at = at + interval '1 microsecond' WHERE id = 3", "entry 3 was changed", false},
		"fields shifted":  {"UPDATE audit_log SET target = target || 'd', outcome = 'one' WHERE id = 3", "entry 3 was changed", false},
		"taken out":       {"DELETE FROM audit_log WHERE id = 3", "entries 3 to 3 were taken out", false},
		"the first":       {"DELETE FROM audit_log WHERE id = 1", "entries 1 to 1 were taken out", false},
		"hash replaced":   {"UPDATE audit_log SET hash = sha256('x') WHERE id = 3", "entry 3 was changed", false},
		"link replaced":   {"UPDATE audit_log SET previous = sha256('x') WHERE id = 3", "entry 3 does not follow", false},
		"cut at its end":  {"DELETE FROM audit_log WHERE id >= 4", "ends at entry 3, and entry 5", true},
		"emptied":         {"DELETE FROM audit_log", "ends at entry 0, and entry 5", true},
		"written anew":    {"DELETE FROM audit_log", "up to entry 5 is not the one", true},
		"nothing at all ": {"SELECT 1", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ctx := storetest.New(t), t.Context()
			for i := range 5 {
				appendAudit(t, s, "ada", "download", t0.Add(time.Duration(i)*time.Second))
			}
			head := must(s.AuditHead(ctx))(t)
			if _, err := s.Pool().Exec(ctx, c.sql); err != nil {
				t.Fatal(err)
			}
			if name == "written anew" {
				for range 6 {
					appendAudit(t, s, "bob", "download", t0)
				}
			}
			if _, err := s.VerifyAudit(ctx); c.head != (err == nil) && c.want != "" {
				t.Errorf("without a head: %v", err)
			}
			_, err := s.VerifyAudit(ctx, head)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, backup.ErrCorrupt) || !strings.Contains(err.Error(), c.want) || backup.Next(err) == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAuditList(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	for i := range 6 {
		appendAudit(t, s, []string{"ada", "bob"}[i%2], []string{"download", "sign-in", "trigger"}[i%3], t0.Add(time.Duration(i)*time.Hour))
	}
	ids := func(f store.AuditFilter) (out string) {
		for {
			entries, next, err := s.Audit(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				out += string(rune('0' + e.ID))
			}
			if next == "" {
				return out
			}
			out += " "
			f.Cursor = next
		}
	}
	for name, c := range map[string]struct {
		f    store.AuditFilter
		want string
	}{
		"all":     {store.AuditFilter{}, "654321"},
		"pages":   {store.AuditFilter{Limit: 4}, "6543 21"},
		"even":    {store.AuditFilter{Limit: 3}, "654 321"},
		"actor":   {store.AuditFilter{Actor: "ada"}, "531"},
		"action":  {store.AuditFilter{Action: "sign-in", Limit: 1}, "5 2"},
		"time":    {store.AuditFilter{From: t0.Add(time.Hour), To: t0.Add(3 * time.Hour)}, "32"},
		"target":  {store.AuditFilter{Target: "x"}, ""},
		"outcome": {store.AuditFilter{Outcome: "done", Actor: "bob", Action: "trigger"}, "6"},
	} {
		if got := ids(c.f); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	for _, bad := range []string{"x", "!", "YTA", "LTE"} {
		if _, _, err := s.Audit(ctx, store.AuditFilter{Cursor: bad}); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}
