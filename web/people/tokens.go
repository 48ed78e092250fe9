package people

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// The longest life that a token can be given, and what it gets unasked.
const (
	maxTokenDays   = 3650
	usualTokenDays = 90
)

// tokenJSON is an API token as programs get it. Fields may be added, never renamed.
type tokenJSON struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Hint       string     `json:"hint"` // the end of the token
	Role       store.Role `json:"role"`
	Downloader bool       `json:"downloader"`
	Databases  []string   `json:"databases"` // names of the only ones it sees; null for all
	State      string     `json:"state"`     // valid, expired or revoked
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	Token      string     `json:"token,omitempty"` // in the answer that makes it alone
}

// Tokens is GET /settings/tokens.
func (h *Handler) Tokens(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	return h.showTokens(c, nil)
}

func (h *Handler) showTokens(c echo.Context, made *tokenJSON) error {
	ctx := c.Request().Context()
	list, err := h.Store.Tokens(ctx)
	if err != nil {
		return err
	}
	dbs, err := h.Store.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return err
	}
	names := map[string]string{}
	var choices []choice
	for _, d := range dbs {
		names[d.ID] = d.Name
		if d.GoneAt == nil {
			choices = append(choices, choice{ui.Handle(d.Name, d.ID), ui.Name(d.Name)})
		}
	}
	out := make([]tokenJSON, len(list))
	for i, t := range list {
		out[i] = tokenOf(t, names, h.Clock())
	}
	page := auth.Chrome(c, "API tokens", "settings")
	if c.QueryParam("done") == "revoked" {
		page.Notice = "It is revoked: whatever used it is refused from now on."
	}
	var answer any = map[string]any{"tokens": out}
	if made != nil {
		answer = made
	}
	return ui.Write(c, ui.Answer{JSON: answer, Page: tokensPage(page, viewTokens(out, made, choices, auth.Of(c), h.Clock()))})
}

func tokenOf(t store.Token, names map[string]string, now time.Time) tokenJSON {
	out := tokenJSON{
		ID: t.ID, Name: t.Name, Hint: t.Hint, Role: t.Role, Downloader: t.Downloader, State: "valid", CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt,
		ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt,
	}
	for _, id := range t.Databases {
		name := names[id]
		if name == "" {
			name = id
		}
		out.Databases = append(out.Databases, name)
	}
	switch {
	case t.RevokedAt != nil:
		out.State = "revoked"
	case t.ExpiresAt != nil && !now.Before(*t.ExpiresAt):
		out.State = "expired"
	}
	return out
}

// AddToken is POST /settings/tokens. The token is in this answer alone.
func (h *Handler) AddToken(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	v, _, err := ui.Fields(c, "databases", "database")
	if err != nil {
		return err
	}
	ctx, a, now := c.Request().Context(), auth.Of(c), h.Clock()
	t := store.Token{Name: strings.TrimSpace(v.Get("name")), Role: store.Role(v.Get("role")), Downloader: yes(v.Get("downloader")), CreatedBy: a.Name, CreatedAt: now}
	if t.Name == "" || utf8.RuneCountInString(t.Name) > 64 || t.Name != ui.Name(t.Name) {
		return backup.Errorf(backup.ErrInvalid, "A token's name has 1 to 64 characters, on one line. None was made.")
	}
	if !t.Role.Valid() {
		return backup.Errorf(backup.ErrInvalid, "Choose a role: viewer, operator or admin. No token was made.")
	}
	if t.ExpiresAt, err = expiry(v.Get("expires_days"), now, a.Until); err != nil {
		return err
	}
	if t.Databases, err = h.confined(ctx, a, append(v["database"], v["databases"]...)); err != nil {
		return err
	}
	if err := h.refused(c, mayGrant(c, t.Downloader), "token", "token "+t.Name, "tried to grant a right that they lack"); err != nil {
		return err
	}
	var secret string
	secret, t.SHA256, t.Hint = auth.NewToken()
	err = h.Store.Atomically(ctx, func(st *store.Store) error {
		if t.ID, err = st.InsertToken(ctx, t); err != nil {
			return err
		}
		return h.Auth.RecordIn(c, st, "token", "token "+t.Name, "made", rightsOf(t.Role, t.Downloader)+", "+reach(len(t.Databases))+", "+ends(t.ExpiresAt))
	})
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, id := range t.Databases {
		if d, err := h.Store.Database(ctx, id); err == nil {
			names[id] = d.Name
		}
	}
	made := tokenOf(t, names, now)
	made.Token = secret
	return h.showTokens(c, &made)
}

func reach(n int) string {
	if n == 0 {
		return "every database"
	}
	return ui.Plural(int64(n), "database", "databases")
}

func ends(at *time.Time) string {
	if at == nil {
		return "without an end"
	}
	return "until " + at.UTC().Format(time.DateOnly)
}

// expiry reads for how many days a token lasts; 0 is for ever. A token that a
// token makes does not outlive its maker.
func expiry(days string, now time.Time, maker *time.Time) (*time.Time, error) {
	n := usualTokenDays
	if days != "" {
		var err error
		if n, err = strconv.Atoi(days); err != nil || n < 0 || n > maxTokenDays {
			return nil, backup.Errorf(backup.ErrInvalid, "A token lasts 1 to %d days, or for ever with 0. None was made.", maxTokenDays)
		}
	}
	var at *time.Time
	if n > 0 {
		end := now.AddDate(0, 0, n)
		at = &end
	}
	if maker != nil && (at == nil || at.After(*maker)) {
		at = maker
	}
	return at, nil
}

// confined finds the databases that a token is to see, by name or UUID, each in
// a value or on a line of its own; none: all of them.
func (h *Handler) confined(ctx context.Context, a *auth.Actor, values []string) ([]string, error) {
	var ids []string
	seen := map[string]bool{}
	for line := range strings.Lines(strings.Join(values, "\n")) {
		name := strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(name) == "" {
			continue
		}
		d, err := auth.Database(ctx, h.Store, a, name)
		if errors.Is(err, backup.ErrNotFound) {
			return nil, backup.Errorf(backup.ErrInvalid, "There is no database %s. No token was made.", ui.Name(name))
		}
		if err != nil {
			return nil, err
		}
		if !seen[d.ID] {
			ids, seen[d.ID] = append(ids, d.ID), true
		}
	}
	return ids, nil
}

// Revoke is POST /settings/tokens/:id/revoke.
func (h *Handler) Revoke(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	ctx := c.Request().Context()
	t, err := h.Store.Token(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	err = h.Store.Atomically(ctx, func(st *store.Store) error {
		if err := st.RevokeToken(ctx, t.ID, h.Clock()); err != nil {
			return err
		}
		return h.Auth.RecordIn(c, st, "token", "token "+t.Name, "revoked", "")
	})
	if err != nil {
		return err
	}
	return done(c, "/settings/tokens?done=revoked", map[string]bool{"revoked": true})
}
