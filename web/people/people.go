// Package people shows who may use Patina and lets an admin change it: people,
// their roles and where they are signed in, and the API tokens of programs. It
// also shows everybody their own account.
//
// It decides who may grant what to whom. It signs nobody in, and never shows a
// password, a token or a link a second time.
package people

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Handler serves the section.
type Handler struct {
	Store     *store.Store
	Auth      *auth.Service
	PublicURL string
	Clock     func() time.Time
}

// personJSON is a person as programs get it. Fields may be added, never renamed.
type personJSON struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Role         store.Role     `json:"role"`
	Downloader   bool           `json:"downloader"`
	Password     bool           `json:"password"` // they have one
	Identities   []identityJSON `json:"identities"`
	CreatedAt    time.Time      `json:"created_at"`
	LastSignInAt *time.Time     `json:"last_sign_in_at"`
	DisabledAt   *time.Time     `json:"disabled_at"`
	Sessions     int            `json:"sessions"`
	LinkExpires  *time.Time     `json:"link_expires_at"` // of the link that sets a password; null where none is open
	Link         string         `json:"link,omitempty"`  // in the answer that makes it alone
}

type identityJSON struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Email   string `json:"email"`
}

type sessionJSON struct {
	ID        string    `json:"id"`
	Method    string    `json:"method"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
	IP        string    `json:"ip"`
	UserAgent string    `json:"user_agent"`
	Current   bool      `json:"current"` // the one that asks
}

type personDetailJSON struct {
	personJSON
	SignIns []sessionJSON `json:"sign_ins"`
}

// everything refuses a token that is confined to some databases: people and
// tokens are everybody's.
func everything(c echo.Context) error {
	if auth.Of(c).Databases != nil {
		return backup.Errorf(backup.ErrDenied, "This is about more than the databases of this token.")
	}
	return nil
}

// mayGrant refuses to hand on the right to download to whoever does not hold it.
func mayGrant(c echo.Context, downloader bool) error {
	if downloader && !auth.Of(c).May(auth.Download) {
		return &backup.Error{
			Kind: backup.ErrDenied, Message: "The right to download is only granted by somebody who holds it, and you do not. Nothing was changed.",
			Next: "Ask an admin who may download, or use `patina user` on the server.",
		}
	}
	return nil
}

// refused puts on record what was tried and not done.
func (h *Handler) refused(c echo.Context, err error, action, target, reason string) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, h.Auth.Record(c, action, target, "refused", reason))
}

// List is GET /settings/people.
func (h *Handler) List(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	list, err := h.all(c.Request().Context())
	if err != nil {
		return err
	}
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"people": list},
		Page: listPage(auth.Chrome(c, "People", "settings"), viewList(list, auth.Of(c), h.Clock())),
	})
}

func (h *Handler) all(ctx context.Context) ([]personJSON, error) {
	users, err := h.Store.Users(ctx)
	if err != nil {
		return nil, err
	}
	now := h.Clock()
	sessions, err := h.Store.CountSignIns(ctx, now)
	if err != nil {
		return nil, err
	}
	links, err := h.Store.PasswordLinks(ctx, now)
	if err != nil {
		return nil, err
	}
	identities, err := h.Store.Identities(ctx)
	out := make([]personJSON, len(users))
	for i, u := range users {
		out[i] = personOf(u, identities[u.ID])
		out[i].Sessions = sessions[u.ID]
		if at, ok := links[u.ID]; ok {
			out[i].LinkExpires = &at
		}
	}
	return out, err
}

func personOf(u store.User, known []store.Identity) personJSON {
	p := personJSON{
		ID: u.ID, Name: u.Name, Role: u.Role, Downloader: u.Downloader, Password: u.PasswordHash != "", Identities: []identityJSON{},
		CreatedAt: u.CreatedAt, LastSignInAt: u.LastSignInAt, DisabledAt: u.DisabledAt,
	}
	for _, i := range known {
		p.Identities = append(p.Identities, identityJSON{i.Issuer, i.Subject, i.Email})
	}
	return p
}

// Add is POST /settings/people: a person with a password, or with a link that
// sets one, which is in this answer alone.
func (h *Handler) Add(c echo.Context) error {
	if err := everything(c); err != nil {
		return err
	}
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	u := store.User{Name: v.Get("name"), Role: store.Role(v.Get("role")), Downloader: yes(v.Get("downloader")), Epoch: 1, CreatedAt: h.Clock()}
	if !auth.ValidName(u.Name) {
		return backup.Errorf(backup.ErrInvalid, "A name has 1 to 64 letters, digits, dots, hyphens, underscores, plus or @. Nobody was added.")
	}
	if !u.Role.Valid() {
		return backup.Errorf(backup.ErrInvalid, "Choose a role: viewer, operator or admin. Nobody was added.")
	}
	if err := h.refused(c, mayGrant(c, u.Downloader), "person", "user "+u.Name, "tried to grant a right that they lack"); err != nil {
		return err
	}
	if password := v.Get("password"); password != "" {
		if u.PasswordHash, err = auth.HashPassword(password); err != nil {
			return backup.Errorf(backup.ErrInvalid, "A password has at least 12 characters. Nobody was added.")
		}
	}
	link, err := h.add(c, &u)
	if err != nil {
		return worded(err)
	}
	return h.show(c, u.ID, link, "")
}

func (h *Handler) add(c echo.Context, u *store.User) (link string, err error) {
	ctx := c.Request().Context()
	err = h.Store.Atomically(ctx, func(st *store.Store) error {
		if u.ID, err = st.InsertUser(ctx, *u); err != nil {
			return err
		}
		how := "with a password"
		if u.PasswordHash == "" {
			how = "with a link that sets a password"
			if link, err = h.Auth.NewLink(ctx, st, u.ID, auth.Of(c).Name); err != nil {
				return err
			}
		}
		return h.Auth.RecordIn(c, st, "person", "user "+u.Name, "added", rightsOf(u.Role, u.Downloader)+", "+how)
	})
	return link, err
}

func rightsOf(r store.Role, downloader bool) string {
	if downloader {
		return string(r) + " and downloader"
	}
	return string(r)
}

// worded says what a person can do about a name that is taken.
func worded(err error) error {
	if errors.Is(err, backup.ErrConflict) {
		return &backup.Error{Kind: backup.ErrConflict, Message: "There is somebody of that name already. Nobody was added.", Next: "Choose another name, or change the person there is.", Err: err}
	}
	return err
}

func noPerson(err error) error {
	if errors.Is(err, backup.ErrNotFound) {
		return backup.Errorf(backup.ErrNotFound, "There is no such person.")
	}
	return err
}

func yes(s string) bool {
	switch s {
	case "on", "true", "1", "yes":
		return true
	}
	return false
}

// done takes a person on to a page, and answers a program.
func done(c echo.Context, path string, answer any) error {
	if ui.FaceOf(c.Request()) == ui.JSON {
		return c.JSON(http.StatusOK, answer)
	}
	return ui.Go(c, path)
}
