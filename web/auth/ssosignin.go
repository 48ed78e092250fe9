package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
	"golang.org/x/oauth2"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// bySingle is how somebody signs in whom an issuer vouches for.
const bySingle = "single sign-on"

// ticketLife is how long somebody may take at the issuer.
const ticketLife = 10 * time.Minute

// UseIssuer lets people sign in with an OpenID Connect issuer too, which sends
// them back to the public URL.
func (s *Service) UseIssuer(i Issuer, publicURL string, log *slog.Logger) {
	s.single = newSingle(i, publicURL, log, s.clock)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// seal is the cipher of tickets.
func (s *Service) seal() (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("single sign-on ticket"))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (s *Service) ticketCookie(value string, age int) *http.Cookie {
	name := "patina-sign-in"
	if s.sessions.Cookie.Secure {
		name = "__Host-" + name
	}
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.sessions.Cookie.Secure, SameSite: http.SameSiteLaxMode} //nolint:gosec // Secure wherever browsers reach us by https
}

var errNoIssuer = backup.Errorf(backup.ErrNotFound, "Single sign-on is not set up here.")

// Leave is GET /sign-in/sso: it sends a browser to the issuer.
func (s *Service) Leave(c echo.Context) error {
	if s.single == nil {
		return errNoIssuer
	}
	next := LocalPath(c.QueryParam("next"))
	_, cfg, err := s.single.open(c.Request().Context())
	if err != nil {
		return s.noSingle(c, err, next)
	}
	t := ticket{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next, Until: s.clock().Add(ticketLife)}
	text, err := t.encode()
	if err != nil {
		return err
	}
	aead, err := s.seal()
	if err != nil {
		return err
	}
	c.SetCookie(s.ticketCookie(base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, text, nil)), int(ticketLife/time.Second))) //nolint:gosec // this cipher draws its nonce itself
	return c.Redirect(http.StatusSeeOther, cfg.AuthCodeURL(t.State, oauth2.S256ChallengeOption(t.Verifier), oauth2.SetAuthURLParam("nonce", t.Nonce)))
}

// ticketOf opens what the browser brought back, once.
func (s *Service) ticketOf(c echo.Context) (ticket, error) {
	var t ticket
	gone := errIssuer{"this browser did not begin it, or too long ago"}
	cookie, err := c.Cookie(s.ticketCookie("", 0).Name)
	if err != nil {
		return t, gone
	}
	c.SetCookie(s.ticketCookie("", -1))
	raw, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return t, gone
	}
	aead, err := s.seal()
	if err != nil {
		return t, err
	}
	text, err := aead.Open(nil, nil, raw, nil)
	if err != nil || json.Unmarshal(text, &t) != nil || !s.clock().Before(t.Until) {
		return ticket{}, gone
	}
	return t, nil
}

// Return is GET /sign-in/callback: somebody comes back from the issuer.
func (s *Service) Return(c echo.Context) error {
	if s.single == nil {
		return errNoIssuer
	}
	if ok, wait := s.limit.Allow(c.RealIP(), bySingle); !ok {
		return tooMany(c, wait)
	}
	t, said, err := s.returned(c)
	if err != nil {
		return s.noSingle(c, err, LocalPath(t.Next))
	}
	u, err := s.admit(c, said)
	if err != nil {
		return s.noSingle(c, err, LocalPath(t.Next))
	}
	s.limit.Forget(c.RealIP(), bySingle)
	if err := s.record(c, u.Name, "sign-in", "user "+u.Name, "done", "by "+s.single.issuer.Name()); err != nil {
		return err
	}
	if err := errors.Join(s.store.SignedIn(c.Request().Context(), u.ID, s.clock()), s.begin(c, u, bySingle)); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, LocalPath(t.Next))
}

// returned checks what came back, and gives what the issuer says of them.
func (s *Service) returned(c echo.Context) (ticket, claims, error) {
	t, err := s.ticketOf(c)
	if err != nil {
		return t, claims{}, err
	}
	q := c.QueryParams()
	switch {
	case !same(q.Get("state"), t.State):
		return t, claims{}, errIssuer{"the state is not the one that was asked with"}
	case q.Has("iss") && strings.TrimSuffix(q.Get("iss"), "/") != strings.TrimSuffix(s.single.issuer.URL, "/"):
		return t, claims{}, errIssuer{"another issuer answered"}
	case q.Get("error") != "":
		return t, claims{}, errIssuer{"the issuer refused: " + short(q.Get("error"))}
	}
	said, err := s.single.exchange(c.Request().Context(), q.Get("code"), t)
	return t, said, err
}

// refusal is why somebody whom the issuer knows is not let in.
type refusal struct{ words, reason string }

// Error tells it.
func (r refusal) Error() string { return r.words }

// admit gives the person whom the claims are about, made where they come first.
// Who no rule fits any more, or is shut out, stays out.
func (s *Service) admit(c echo.Context, said claims) (u store.User, err error) {
	ctx, issuer := c.Request().Context(), s.single.issuer
	who := said.Subject
	if said.Email != "" {
		who = said.Email
	}
	rule, ok := issuer.Allowed.find(said)
	if !ok {
		return u, refusal{issuer.Name() + " knows you, but nobody has allowed you in here. Ask an admin.", "no rule lets " + who + " in"}
	}
	err = s.store.InTx(ctx, func(_ pgx.Tx, st *store.Store) error {
		if err := st.LockUsers(ctx); err != nil {
			return err
		}
		u, err = st.UserByIdentity(ctx, issuer.URL, said.Subject)
		if !errors.Is(err, backup.ErrNotFound) {
			return err
		}
		u = store.User{Role: rule.role, Downloader: rule.downloader, Epoch: 1, CreatedAt: s.clock()}
		if u.Name, err = freeName(ctx, st, said); err != nil {
			return err
		}
		if u.ID, err = st.InsertUser(ctx, u); err != nil {
			return err
		}
		if err := st.InsertIdentity(ctx, store.Identity{Issuer: issuer.URL, Subject: said.Subject, UserID: u.ID, Email: said.Email, CreatedAt: s.clock()}); err != nil {
			return err
		}
		return s.write(c, st, u.Name, "person", "user "+u.Name, "added", "by "+issuer.Name()+": "+rule.text)
	})
	if err == nil && u.DisabledAt != nil {
		return u, refusal{"You are shut out here. Ask an admin.", "user " + u.Name + " is shut out"}
	}
	return u, err
}

// freeName gives what somebody can be called here: their address or what the
// issuer calls them. Nobody becomes somebody who is here already by having
// their name: they get a number behind it.
func freeName(ctx context.Context, st *store.Store, said claims) (string, error) {
	name := said.Email
	if !ValidName(name) {
		name = said.Username
	}
	if !ValidName(name) {
		sum := sha256.Sum256([]byte(said.Subject))
		name = "person-" + strings.ToLower(base64.RawURLEncoding.EncodeToString(sum[:6]))
	}
	if len(name) > 60 {
		name = name[:60]
	}
	for i := 1; ; i++ {
		try := name
		if i > 1 {
			try += "+" + strconv.Itoa(i)
		}
		if _, err := st.UserByName(ctx, try); errors.Is(err, backup.ErrNotFound) {
			return try, nil
		} else if err != nil || i == 99 {
			return "", errors.Join(err, backup.Errorf(backup.ErrConflict, "There is somebody of that name already."))
		}
	}
}

// noSingle shows the sign-in page with why single sign-on did not lead in.
func (s *Service) noSingle(c echo.Context, err error, next string) error {
	var untrue errIssuer
	var no refusal
	var known *backup.Error
	var words, reason string
	status := http.StatusUnauthorized
	switch {
	case errors.As(err, &untrue):
		words, reason = "What came back from "+s.single.issuer.Name()+" cannot be believed, so you are not signed in. Try again.", untrue.text
	case errors.As(err, &no):
		status, words, reason = http.StatusForbidden, no.words, no.reason
	case errors.As(err, &known) && known.Kind == backup.ErrUnavailable:
		status, words = http.StatusServiceUnavailable, known.Message+" "+known.Next
		s.single.log.WarnContext(c.Request().Context(), "the issuer of single sign-on does not answer as it should", "issuer", s.single.issuer.URL, "error", err.Error())
	default:
		return err
	}
	if reason != "" {
		if err := s.record(c, "nobody", "sign-in", "single sign-on", "refused", reason); err != nil {
			return err
		}
	}
	return s.refuse(c, status, words, next)
}
