package people

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Show is GET /settings/people/:id.
func (h *Handler) Show(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	return h.show(c, c.Param("id"), "", c.QueryParam("done"))
}

// show answers with one person; link is one that was made just now, which is
// shown this once.
func (h *Handler) show(c echo.Context, id, link, done string) error {
	p, err := h.person(c, id)
	if err != nil {
		return err
	}
	if link != "" {
		p.Link = h.PublicURL + link
	}
	page := auth.Chrome(c, p.Name, "settings")
	page.Notice = map[string]string{
		"rights": "What they may do was changed. They are signed out everywhere, and sign in again.", "disabled": "They are shut out, and signed out everywhere.",
		"enabled": "They may sign in again.", "ended": "They are signed out there.",
	}[done]
	return ui.Write(c, ui.Answer{JSON: p, Page: personPage(page, viewPerson(p, auth.Of(c), h.Clock()))})
}

func (h *Handler) person(c echo.Context, id string) (personDetailJSON, error) {
	ctx := c.Request().Context()
	u, err := h.Store.User(ctx, id)
	if err != nil {
		return personDetailJSON{}, noPerson(err)
	}
	identities, err := h.Store.Identities(ctx)
	if err != nil {
		return personDetailJSON{}, err
	}
	links, err := h.Store.PasswordLinks(ctx, h.Clock())
	if err != nil {
		return personDetailJSON{}, err
	}
	p := personDetailJSON{personJSON: personOf(u, identities[u.ID])}
	if at, ok := links[u.ID]; ok {
		p.LinkExpires = &at
	}
	p.SignIns, err = h.sessions(ctx, u.ID, auth.Of(c).SignIn)
	p.Sessions = len(p.SignIns)
	return p, err
}

func (h *Handler) sessions(ctx context.Context, userID, mine string) ([]sessionJSON, error) {
	list, err := h.Store.SignIns(ctx, userID, h.Clock())
	out := make([]sessionJSON, len(list))
	for i, s := range list {
		out[i] = sessionJSON{s.ID, s.Method, s.CreatedAt, s.SeenAt, s.ExpiresAt, s.IP, s.UserAgent, s.ID == mine}
	}
	return out, err
}

// change does something to a person, with its line in the log, both or neither.
// A refusal is on record as well.
func (h *Handler) change(c echo.Context, outcome, reason string, check func(u store.User) error, do func(ctx context.Context, st *store.Store, u store.User) error) (store.User, error) {
	if err := everything(c); err != nil {
		return store.User{}, err
	}
	ctx := c.Request().Context()
	u, err := h.Store.User(ctx, c.Param("id"))
	if err != nil {
		return u, noPerson(err)
	}
	if check != nil {
		if err := h.refused(c, check(u), "person", "user "+u.Name, "tried to grant a right that they lack"); err != nil {
			return u, err
		}
	}
	err = h.Store.Atomically(ctx, func(st *store.Store) error {
		if err := do(ctx, st, u); err != nil {
			return err
		}
		return h.Auth.RecordIn(c, st, "person", "user "+u.Name, outcome, reason)
	})
	if errors.Is(err, backup.ErrConflict) {
		return u, h.refused(c, err, "person", "user "+u.Name, "the last admin stays: not "+outcome)
	}
	return u, err
}

// SetRights is POST /settings/people/:id/rights. It ends that person's sessions.
func (h *Handler) SetRights(c echo.Context) error {
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	role, downloader := store.Role(v.Get("role")), yes(v.Get("downloader"))
	if !role.Valid() {
		return backup.Errorf(backup.ErrInvalid, "Choose a role: viewer, operator or admin. Nothing was changed.")
	}
	check := func(u store.User) error { return mayGrant(c, downloader && !u.Downloader) }
	u, err := h.change(c, "rights changed", "now "+rightsOf(role, downloader), check, func(ctx context.Context, st *store.Store, u store.User) error {
		return st.SetRights(ctx, u.ID, role, downloader)
	})
	if err != nil {
		return err
	}
	return h.after(c, u, "rights")
}

// Disable is POST /settings/people/:id/disable.
func (h *Handler) Disable(c echo.Context) error {
	u, err := h.change(c, "disabled", "", nil, func(ctx context.Context, st *store.Store, u store.User) error {
		return st.DisableUser(ctx, u.ID, h.Clock())
	})
	if err != nil {
		return err
	}
	return h.after(c, u, "disabled")
}

// Enable is POST /settings/people/:id/enable: it gives back what they could do.
func (h *Handler) Enable(c echo.Context) error {
	check := func(u store.User) error { return mayGrant(c, u.Downloader && u.DisabledAt != nil) }
	u, err := h.change(c, "enabled", "", check, func(ctx context.Context, st *store.Store, u store.User) error {
		return st.EnableUser(ctx, u.ID)
	})
	if err != nil {
		return err
	}
	return h.after(c, u, "enabled")
}

// Link is POST /settings/people/:id/link: a new link that sets their password,
// in this answer alone. Whoever holds it can be them, so that it may not lead to
// more than its maker may do.
func (h *Handler) Link(c echo.Context) error {
	link := ""
	check := func(u store.User) error {
		if u.DisabledAt != nil {
			return backup.Errorf(backup.ErrConflict, "%s is shut out: let them in again first.", u.Name)
		}
		return mayGrant(c, u.Downloader && u.ID != auth.Of(c).ID)
	}
	u, err := h.change(c, "link made", "it sets a password, once", check, func(ctx context.Context, st *store.Store, u store.User) error {
		var err error
		link, err = h.Auth.NewLink(ctx, st, u.ID, auth.Of(c).Name)
		return err
	})
	if err != nil {
		return err
	}
	return h.show(c, u.ID, link, "")
}

// EndSessions is POST /settings/people/:id/sessions/end: one ("session"), or all.
func (h *Handler) EndSessions(c echo.Context) error {
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	ended := 0
	u, err := h.change(c, "signed out", which(v.Get("session")), nil, func(ctx context.Context, st *store.Store, u store.User) error {
		var err error
		ended, err = end(ctx, st, u.ID, v.Get("session"), "")
		return err
	})
	if err != nil {
		return err
	}
	return done(c, "/settings/people/"+u.ID+"?done=ended", map[string]int{"ended": ended})
}

func which(session string) string {
	if session == "" {
		return "everywhere"
	}
	return "in one place"
}

// end signs somebody out in one place, or everywhere but here.
func end(ctx context.Context, st *store.Store, userID, session, here string) (int, error) {
	if session == "" {
		return st.EndSignIns(ctx, userID, here)
	}
	was, err := st.EndSignIn(ctx, userID, session)
	if was {
		return 1, err
	}
	return 0, err
}

// after shows what became of a person: the page, or the sign-in page to somebody
// who has just signed themselves out.
func (h *Handler) after(c echo.Context, u store.User, what string) error {
	if ui.FaceOf(c.Request()) == ui.JSON {
		p, err := h.person(c, u.ID)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, p)
	}
	return ui.Go(c, "/settings/people/"+u.ID+"?done="+what)
}
