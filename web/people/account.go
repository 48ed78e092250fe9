package people

import (
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// accountJSON is whoever asks, as they get themselves.
type accountJSON struct {
	Name       string        `json:"name"`
	Kind       string        `json:"kind"` // person or token
	Role       string        `json:"role"`
	Downloader bool          `json:"downloader"`
	Databases  []string      `json:"databases"` // ids a token is confined to; null for all
	ExpiresAt  *time.Time    `json:"expires_at"`
	Password   bool          `json:"password"`
	SignIns    []sessionJSON `json:"sign_ins"`
}

// Account is GET /settings/account.
func (h *Handler) Account(c echo.Context) error {
	ctx, a := c.Request().Context(), auth.Of(c)
	out := accountJSON{Name: a.Name, Kind: "person", Role: a.Rank.String(), Downloader: a.Downloader, SignIns: []sessionJSON{}}
	if a.Token {
		out.Kind, out.Databases, out.ExpiresAt = "token", a.Databases, a.Until
	} else {
		u, err := h.Store.User(ctx, a.ID)
		if err != nil {
			return err
		}
		out.Password = u.PasswordHash != ""
		if out.SignIns, err = h.sessions(ctx, a.ID, a.SignIn); err != nil {
			return err
		}
	}
	page := auth.Chrome(c, "Your account", "settings")
	page.Notice = map[string]string{
		"password": "Your password was changed. You are signed out everywhere but here.", "ended": "You are signed out there.",
	}[c.QueryParam("done")]
	return ui.Write(c, ui.Answer{JSON: out, Page: accountPage(page, viewAccount(out, a, h.Clock()))})
}

// EndOwn is POST /settings/account/sessions/end: one's own sign-in elsewhere
// ("session"), or all but this one.
func (h *Handler) EndOwn(c echo.Context) error {
	ctx, a := c.Request().Context(), auth.Of(c)
	if a.Token {
		return backup.Errorf(backup.ErrInvalid, "A token is signed in nowhere. Revoke it instead.")
	}
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	ended := 0
	err = h.Store.Atomically(ctx, func(st *store.Store) error {
		if ended, err = end(ctx, st, a.ID, v.Get("session"), a.SignIn); err != nil {
			return err
		}
		return h.Auth.RecordIn(c, st, "sign-out", "user "+a.Name, "done", which(v.Get("session")))
	})
	if err != nil {
		return err
	}
	return done(c, "/settings/account?done=ended", map[string]int{"ended": ended})
}
