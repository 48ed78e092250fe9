package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// linkLife is for how long a link that sets a password may be used.
const linkLife = 72 * time.Hour

// shortPassword is said of a password that is none.
const shortPassword = "A password has at least 12 characters."

// NewLink makes the one link by which a person may set a password, once, and
// gives its path: for whoever asked for it, to be handed on. An earlier one ends.
func (s *Service) NewLink(ctx context.Context, st *store.Store, userID, by string) (path string, err error) {
	key, now := rand.Text()+rand.Text(), s.clock()
	err = st.SetPasswordLink(ctx, userID, HashToken(key), by, now, now.Add(linkLife))
	return "/set-password?key=" + url.QueryEscape(key), err
}

// tooMany answers a guesser.
func tooMany(c echo.Context, wait time.Duration) error {
	seconds := int(wait/time.Second) + 1
	c.Response().Header().Set("Retry-After", strconv.Itoa(seconds))
	return echo.NewHTTPError(http.StatusTooManyRequests, "Too many tries. The next one counts in "+strconv.Itoa(seconds)+" s.")
}

// noLink words what a link that does not work any more says.
func noLink(err error) error {
	if errors.Is(err, backup.ErrNotFound) {
		return &backup.Error{Kind: backup.ErrNotFound, Message: "This link is not valid, has expired, or has been used.", Next: "Ask an admin for another."}
	}
	return err
}

// LinkForm is GET /set-password.
func (s *Service) LinkForm(c echo.Context) error {
	key := c.QueryParam("key")
	u, err := s.store.PasswordLink(c.Request().Context(), HashToken(key), s.clock())
	if err != nil {
		return noLink(err)
	}
	return ui.Write(c, ui.Answer{JSON: map[string]string{"name": u.Name}, Page: linkPage(ui.Chrome{Title: "Set a password", Plain: true}, "", ui.Name(u.Name), key)})
}

// UseLink is POST /set-password: the password is set, every session of that
// person ends, and they are signed in here.
func (s *Service) UseLink(c echo.Context) error {
	ctx, key, password := c.Request().Context(), c.Request().PostFormValue("key"), c.Request().PostFormValue("password")
	if ok, wait := s.limit.Allow(c.RealIP(), "a link"); !ok {
		return tooMany(c, wait)
	}
	u, err := s.store.PasswordLink(ctx, HashToken(key), s.clock())
	if err != nil {
		return noLink(errors.Join(err, s.record(c, "nobody", "password", "a link that is not valid", "refused", "")))
	}
	hash, err := HashPassword(password)
	if err != nil {
		if ui.FaceOf(c.Request()) == ui.JSON {
			return backup.Errorf(backup.ErrInvalid, shortPassword)
		}
		return ui.Render(c, http.StatusBadRequest, linkPage(ui.Chrome{Title: "Set a password", Plain: true}, shortPassword, ui.Name(u.Name), key))
	}
	if err := s.record(c, u.Name, "password", "user "+u.Name, "set", "by the link that was made for it"); err != nil {
		return err
	}
	if u, err = s.store.UsePasswordLink(ctx, HashToken(key), hash, s.clock()); err != nil {
		return noLink(err)
	}
	if err := errors.Join(s.store.SignedIn(ctx, u.ID, s.clock()), s.begin(c, u, byLink)); err != nil {
		return err
	}
	return ui.Go(c, "/")
}

// ChangePassword is POST /settings/account/password: somebody replaces their
// own, which they must know, or set one where they have none. Every other
// session of theirs ends.
func (s *Service) ChangePassword(c echo.Context) error {
	ctx, a := c.Request().Context(), Of(c)
	if a.Token {
		return backup.Errorf(backup.ErrInvalid, "A token has no password.")
	}
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	if ok, wait := s.limit.Allow(c.RealIP(), a.Name); !ok {
		return tooMany(c, wait)
	}
	u, err := s.store.User(ctx, a.ID)
	if err != nil {
		return err
	}
	if u.PasswordHash != "" && !CheckPassword(v.Get("current"), u.PasswordHash) {
		return errors.Join(
			&backup.Error{Kind: backup.ErrDenied, Message: "That is not your password of now; nothing was changed.", Next: "Go back and try again, or ask an admin for a link that sets a new one."},
			s.Record(c, "password", "user "+a.Name, "refused", "wrong password"))
	}
	hash, err := HashPassword(v.Get("password"))
	if err != nil {
		return backup.Errorf(backup.ErrInvalid, shortPassword+" Nothing was changed.")
	}
	s.limit.Forget(c.RealIP(), a.Name)
	if err := s.Record(c, "password", "user "+a.Name, "changed", ""); err != nil {
		return err
	}
	if err := s.store.SetPassword(ctx, a.ID, hash); err != nil {
		return err
	}
	if u, err = s.store.User(ctx, a.ID); err != nil {
		return err
	}
	if err := s.begin(c, u, byPassword); err != nil {
		return err
	}
	if ui.FaceOf(c.Request()) == ui.JSON {
		return c.JSON(http.StatusOK, map[string]bool{"changed": true})
	}
	return ui.Go(c, "/settings/account?done=password")
}
