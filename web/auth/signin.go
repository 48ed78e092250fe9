package auth

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// wrong is said of an unknown name and of a wrong password alike.
const wrong = "That name and password do not belong together."

// Form is GET /sign-in.
func (s *Service) Form(c echo.Context) error {
	if a, err := s.Identify(c.Request()); err == nil && a != nil && !a.Token {
		return c.Redirect(http.StatusSeeOther, LocalPath(c.QueryParam("next")))
	}
	return s.signInForm(c, http.StatusOK, "", LocalPath(c.QueryParam("next")))
}

// SignInPage shows the form in place of a page that needs signing in, and
// leads back to it.
func (s *Service) SignInPage(c echo.Context, status int, _ string) error {
	next := "/"
	if c.Request().Method == http.MethodGet && !tokenInQuery(c.Request()) {
		next = LocalPath(c.Request().URL.RequestURI())
	}
	return s.signInForm(c, status, "", next)
}

func (s *Service) signInForm(c echo.Context, status int, problem, next string) error {
	first, err := s.FirstRun(c.Request().Context())
	if err != nil {
		return err
	}
	p := ui.Chrome{Title: "Sign in", Plain: true}
	return ui.Render(c, status, signInPage(p, problem, next, s.issuerName(), first))
}

// SignIn is POST /sign-in. Whether a name exists shows neither in what is
// answered nor in how long that takes.
func (s *Service) SignIn(c echo.Context) error {
	ctx := c.Request().Context()
	name, password, next := c.Request().PostFormValue("name"), c.Request().PostFormValue("password"), LocalPath(c.Request().PostFormValue("next"))
	if ok, wait := s.limit.Allow(c.RealIP(), name); !ok {
		seconds := int(wait/time.Second) + 1
		c.Response().Header().Set("Retry-After", strconv.Itoa(seconds))
		return s.refuse(c, http.StatusTooManyRequests, "Too many tries. The next one counts in "+strconv.Itoa(seconds)+" s.", next)
	}
	hash := ""
	u, err := s.store.UserByName(ctx, nameOrNobody(name))
	switch {
	case err == nil && u.DisabledAt == nil:
		hash = u.PasswordHash
	case err != nil && !errors.Is(err, backup.ErrNotFound):
		return err
	}
	if !CheckPassword(password, hash) {
		if err := s.record(c, "nobody", "sign-in", "user "+short(name), "refused", "wrong name or password"); err != nil {
			return err
		}
		return s.refuse(c, http.StatusUnauthorized, wrong, next)
	}
	s.limit.Forget(c.RealIP(), name)
	if err := s.record(c, u.Name, "sign-in", "user "+u.Name, "done", ""); err != nil {
		return err
	}
	if err := s.store.SignedIn(ctx, u.ID, s.clock()); err != nil {
		return err
	}
	if err := s.begin(c, u, byPassword); err != nil {
		return err
	}
	return ui.Go(c, next)
}

// nameOrNobody gives a name that can be looked up: what nobody can be called
// is nobody's.
func nameOrNobody(name string) string {
	if ValidName(name) {
		return name
	}
	return ""
}

func (s *Service) refuse(c echo.Context, status int, problem, next string) error {
	if ui.FaceOf(c.Request()) == ui.JSON {
		return echo.NewHTTPError(status, problem)
	}
	return s.signInForm(c, status, problem, next)
}

// SignOut is POST /sign-out. It ends the session at the server too.
func (s *Service) SignOut(c echo.Context) error {
	a := Of(c)
	if a.Token {
		return backup.Errorf(backup.ErrInvalid, "A token has no session to end. Revoke it instead.")
	}
	if err := s.forget(c.Request().Context(), a.Session); err != nil {
		return err
	}
	if err := s.Record(c, "sign-out", "user "+a.Name, "done", ""); err != nil {
		return err
	}
	s.sessions.WriteSessionCookie(c.Request().Context(), c.Response(), "", time.Time{})
	return ui.Go(c, "/sign-in")
}

// issuerName is what the sign-in page calls the issuer; "" without one.
func (s *Service) issuerName() string {
	if s.single == nil {
		return ""
	}
	return ui.Name(s.single.issuer.Name())
}
