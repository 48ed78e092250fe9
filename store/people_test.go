package store_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func addUser(t *testing.T, s *store.Store, name string, role store.Role) string {
	t.Helper()
	return must(s.InsertUser(t.Context(), store.User{Name: name, PasswordHash: "hash", Role: role, CreatedAt: t0}))(t)
}

func TestUsers(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	if n := must(s.CountUsers(ctx))(t); n != 0 {
		t.Fatalf("%d users at first", n)
	}
	want := store.User{Name: "Ada", PasswordHash: "secret-hash", Role: store.Operator, Downloader: true, Epoch: 1, CreatedAt: t0}
	want.ID = must(s.InsertUser(ctx, want))(t)
	if got := must(s.UserByName(ctx, "aDA"))(t); got != want {
		t.Fatalf("got %+v", got)
	}
	if b, err := json.Marshal(want); err != nil || strings.Contains(string(b), "secret-hash") {
		t.Fatalf("JSON shows the hash: %s %v", b, err)
	}
	if _, err := s.InsertUser(ctx, store.User{Name: "ADA", Role: store.Viewer, CreatedAt: t0}); !errors.Is(err, backup.ErrConflict) || !strings.Contains(err.Error(), "ADA already") {
		t.Errorf("the same name: %v", err)
	}
	for _, bad := range []store.User{{Name: "x", Role: "root"}, {Role: store.Viewer}} {
		if _, err := s.InsertUser(ctx, bad); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	at := t0.Add(time.Hour)
	epoch := 1
	for _, step := range []struct {
		what string
		err  error
		ends bool // every session
	}{
		{"sign-in", s.SignedIn(ctx, want.ID, at), false},
		{"password", s.SetPassword(ctx, want.ID, "new"), true},
		{"rights", s.SetRights(ctx, want.ID, store.Viewer, false), true},
		{"disable", s.DisableUser(ctx, want.ID, at), true},
		{"enable", s.EnableUser(ctx, want.ID), false},
	} {
		if step.err != nil {
			t.Fatalf("%s: %v", step.what, step.err)
		}
		if step.ends {
			epoch++
		}
	}
	got := must(s.User(ctx, want.ID))(t)
	if got.Epoch != epoch || got.PasswordHash != "new" || got.Role != store.Viewer || got.Downloader || got.DisabledAt != nil || !got.LastSignInAt.Equal(at) {
		t.Fatalf("epoch %d: %+v", epoch, got)
	}
	addUser(t, s, "bob", store.Viewer)
	if list := must(s.Users(ctx))(t); len(list) != 2 || list[0].Name != "Ada" || list[1].Name != "bob" {
		t.Fatalf("list: %+v", list)
	}
	for _, id := range []string{uid(9), "x"} {
		if err := s.SetPassword(ctx, id, "h"); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
		if err := s.SetRights(ctx, id, store.Viewer, false); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// However many are demoted or shut out at once, one admin remains.
func TestLastAdmin(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	ids := make([]string, 6)
	for i := range ids {
		ids[i] = addUser(t, s, fmt.Sprint("admin", i), store.Admin)
	}
	var g errgroup.Group
	refused := make([]error, len(ids))
	for i, id := range ids {
		g.Go(func() error {
			if i%2 == 0 {
				refused[i] = s.DisableUser(ctx, id, t0)
			} else {
				refused[i] = s.SetRights(ctx, id, store.Viewer, false)
			}
			return nil
		})
	}
	_ = g.Wait()
	n := 0
	for _, err := range refused {
		if errors.Is(err, backup.ErrConflict) && backup.Next(err) != "" {
			n++
		} else if err != nil {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Fatalf("%d were refused", n)
	}
	admins := 0
	for _, u := range must(s.Users(ctx))(t) {
		if u.Role == store.Admin && u.DisabledAt == nil {
			admins++
			if err := s.SetRights(ctx, u.ID, store.Admin, true); err != nil { // still an admin
				t.Error(err)
			}
		}
	}
	if admins != 1 {
		t.Fatalf("%d admins are left", admins)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	sum := sha256.Sum256([]byte("patina_secret"))
	expires := t0.Add(time.Hour)
	want := store.Token{
		Name: "ci", SHA256: sum[:], Hint: "…cret", Role: store.Operator, Downloader: true, Databases: []string{uid(1), uid(2)},
		CreatedBy: "ada", CreatedAt: t0, ExpiresAt: &expires,
	}
	want.ID = must(s.InsertToken(ctx, want))(t)
	got := must(s.TokenBySHA256(ctx, sum[:]))(t)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	if _, err := s.InsertToken(ctx, store.Token{Name: "again", SHA256: sum[:], Role: store.Admin, CreatedAt: t0}); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("the same token: %v", err)
	}
	if _, err := s.TokenBySHA256(ctx, make([]byte, 32)); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("another hash: %v", err)
	}
	for name, bad := range map[string]func(*store.Token){
		"no name": func(k *store.Token) { k.Name = "" }, "hash": func(k *store.Token) { k.SHA256 = []byte("patina_secret") },
		"role": func(k *store.Token) { k.Role = "root" }, "no database": func(k *store.Token) { k.Databases = []string{} },
		"database": func(k *store.Token) { k.Databases = []string{"groveauth"} },
	} {
		k := store.Token{Name: "x", SHA256: make([]byte, 32), Role: store.Viewer, CreatedAt: t0}
		bad(&k)
		if _, err := s.InsertToken(ctx, k); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Use is recorded once a minute.
	for _, step := range []struct{ at, want time.Duration }{{0, 0}, {59 * time.Second, 0}, {61 * time.Second, 61 * time.Second}, {30 * time.Second, 61 * time.Second}} {
		if err := s.TouchToken(ctx, want.ID, t0.Add(step.at)); err != nil {
			t.Fatal(err)
		}
		if got := must(s.Token(ctx, want.ID))(t); !got.LastUsedAt.Equal(t0.Add(step.want)) {
			t.Errorf("used at %v: %v", step.at, got.LastUsedAt)
		}
	}
	if err := errors.Join(s.RevokeToken(ctx, want.ID, t0), s.RevokeToken(ctx, want.ID, t0.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if got := must(s.Token(ctx, want.ID))(t); !got.RevokedAt.Equal(t0) {
		t.Errorf("revoked at %v", got.RevokedAt)
	}
	if err := s.RevokeToken(ctx, uid(9), t0); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("an unknown token: %v", err)
	}
	// One that the configuration gives: made once, and not again after it was revoked.
	if added, err := s.EnsureToken(ctx, store.Token{Name: "bootstrap", SHA256: sum[:], Role: store.Admin, CreatedAt: t0}); added || err != nil {
		t.Errorf("a revoked token: %v %v", added, err)
	}
	other := sha256.Sum256([]byte("other"))
	var g errgroup.Group
	added := make([]bool, 8)
	for i := range added {
		g.Go(func() (err error) {
			added[i], err = s.EnsureToken(ctx, store.Token{Name: "bootstrap", SHA256: other[:], Role: store.Admin, CreatedAt: t0.Add(time.Minute)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range added {
		if a {
			n++
		}
	}
	if list := must(s.Tokens(ctx))(t); n != 1 || len(list) != 2 || list[0].Name != "bootstrap" || list[0].Databases != nil {
		t.Errorf("%d added; list %+v", n, list)
	}
}

func TestAlertConfigs(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	a := store.AlertConfig{Kind: "discord", Name: "Team", Origin: "dashboard", URLSealed: []byte{1, 2}, Enabled: true, NotifyFailure: true, CreatedAt: t0, UpdatedAt: t0}
	a.ID = must(s.InsertAlertConfig(ctx, a))(t)
	if got := must(s.AlertConfig(ctx, a.ID))(t); !reflect.DeepEqual(got, a) {
		t.Fatalf("got %+v", got)
	}
	if b, err := json.Marshal(a); err != nil || strings.Contains(string(b), "URL") {
		t.Fatalf("JSON shows the URL: %s %v", b, err)
	}
	if _, err := s.InsertAlertConfig(ctx, store.AlertConfig{Kind: "webhook", Name: "team", URLSealed: []byte{3}, CreatedAt: t0}); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("the same name: %v", err)
	}
	for _, bad := range []store.AlertConfig{{Kind: "pager", Name: "p", URLSealed: []byte{1}}, {Kind: "webhook", URLSealed: []byte{1}}, {Kind: "webhook", Name: "p"}} {
		if _, err := s.InsertAlertConfig(ctx, bad); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	a.Name, a.URLSealed, a.Enabled, a.NotifySuccess, a.NotifyFailure, a.UpdatedAt = "Crew", []byte{9}, false, true, false, t0.Add(time.Hour)
	if err := s.UpdateAlertConfig(ctx, a); err != nil {
		t.Fatal(err)
	}
	if list := must(s.AlertConfigs(ctx))(t); len(list) != 1 || !reflect.DeepEqual(list[0], a) {
		t.Fatalf("list: %+v", list)
	}
	if err := s.DeleteAlertConfig(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"update": s.UpdateAlertConfig(ctx, a), "delete": s.DeleteAlertConfig(ctx, a.ID), "nonsense": s.DeleteAlertConfig(ctx, "x")} {
		if !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
