package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// sessionLife is how long a person stays signed in.
const sessionLife = 7 * 24 * time.Hour

// keySignIn is what a session holds: which sign-in it is. All else is in the
// store, where it can be ended.
const keySignIn = "sign_in"

// Service signs people in and out, tells who asks, and writes the audit log.
type Service struct {
	store    *store.Store
	sessions *scs.SessionManager
	limit    *Limiter
	clock    func() time.Time
	secret   []byte
	single   *single // nil without single sign-on
}

// New makes the service. Secure tells whether browsers reach us by https: only
// then do they take a cookie that is bound to the host and to https. Secret
// makes the one-time link of the first admin.
func New(s *store.Store, secret []byte, secure bool, clock func() time.Time) *Service {
	m := scs.New()
	m.Store = pgxstore.NewWithCleanupInterval(s.Pool(), 0) // expired ones are never read, and go at the next sign-in
	m.HashTokenInStore = true
	m.Lifetime = sessionLife
	m.Cookie.Name = "patina"
	if secure {
		m.Cookie.Name = "__Host-patina"
	}
	m.Cookie.Secure = secure
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Path = "/"
	return &Service{store: s, sessions: m, limit: NewLimiter(clock), clock: clock, secret: secret}
}

// ErrUnknown says that whoever asks has not shown who they are, or no longer
// is who they were.
var ErrUnknown = echo.NewHTTPError(http.StatusUnauthorized, "Sign in, or send a token that is valid.")

// Identify tells who sent a request: nil where it carries nothing. Errors:
// ErrUnknown for a token or session that is not valid, or not any more; a
// token in the query; ErrUnavailable where Postgres does not answer.
func (s *Service) Identify(r *http.Request) (*Actor, error) {
	if tokenInQuery(r) {
		return nil, echo.NewHTTPError(http.StatusUnauthorized, "A token goes into the Authorization header, never into an address: addresses are logged. Revoke this one.")
	}
	if scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return s.byToken(r.Context(), strings.TrimSpace(credentials))
	}
	cookie, err := r.Cookie(s.sessions.Cookie.Name)
	if err != nil {
		return nil, nil //nolint:nilnil // nobody
	}
	return s.bySession(r.Context(), cookie.Value)
}

func tokenInQuery(r *http.Request) bool {
	if r.URL.RawQuery == "" {
		return false
	}
	for name, values := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "token", "access_token", "api_key", "apikey", "bearer":
			return true
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(v, TokenPrefix) }) {
			return true
		}
	}
	return false
}

func (s *Service) byToken(ctx context.Context, secret string) (*Actor, error) {
	if secret == "" || len(secret) > 512 {
		return nil, ErrUnknown
	}
	t, err := s.store.TokenBySHA256(ctx, HashToken(secret))
	if errors.Is(err, backup.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	now := s.clock()
	if t.RevokedAt != nil || t.ExpiresAt != nil && !now.Before(*t.ExpiresAt) {
		return nil, ErrUnknown
	}
	if t.LastUsedAt == nil || now.Sub(*t.LastUsedAt) > time.Minute {
		if err := s.store.TouchToken(ctx, t.ID, now); err != nil {
			return nil, err
		}
	}
	return &Actor{
		ID: t.ID, Name: "token " + t.Name, Token: true, Rank: rank(string(t.Role)), Downloader: t.Downloader,
		Databases: t.Databases, Session: "token " + t.ID, Until: t.ExpiresAt,
	}, nil
}

func (s *Service) bySession(ctx context.Context, cookie string) (*Actor, error) {
	ctx, err := s.sessions.Load(ctx, cookie)
	if err != nil {
		return nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "Postgres does not answer.", Err: err}
	}
	now := s.clock()
	in, u, err := s.store.SignInOf(ctx, s.sessions.GetString(ctx, keySignIn), now)
	if errors.Is(err, backup.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	if now.Sub(in.SeenAt) > time.Minute {
		if err := s.store.TouchSignIn(ctx, in.ID, now); err != nil {
			return nil, err
		}
	}
	return &Actor{
		ID: u.ID, Name: u.Name, Rank: rank(string(u.Role)), Downloader: u.Downloader,
		Session: s.sessions.Token(ctx), SignIn: in.ID,
	}, nil
}

// Alive tells whether an actor who was let in a while ago still would be, with
// the same rights.
func (s *Service) Alive(ctx context.Context, a *Actor) bool {
	if a.Token {
		t, err := s.store.Token(ctx, a.ID)
		return err == nil && t.RevokedAt == nil && (t.ExpiresAt == nil || s.clock().Before(*t.ExpiresAt))
	}
	_, u, err := s.store.SignInOf(ctx, a.SignIn, s.clock())
	if err != nil || u.ID != a.ID {
		return false
	}
	loaded, err := s.sessions.Load(ctx, a.Session)
	return err == nil && s.sessions.GetString(loaded, keySignIn) == a.SignIn
}

// The ways in which somebody signs in.
const (
	byPassword = "password"
	byLink     = "link"
)

// begin starts a session under a new name, whatever cookie came along.
func (s *Service) begin(c echo.Context, u store.User, method string) error {
	ctx, err := s.sessions.Load(c.Request().Context(), "")
	if err != nil {
		return err
	}
	now := s.clock()
	id, err := s.store.InsertSignIn(ctx, store.SignIn{
		UserID: u.ID, Epoch: u.Epoch, Method: method, CreatedAt: now, ExpiresAt: now.Add(sessionLife), IP: c.RealIP(), UserAgent: short(c.Request().UserAgent()),
	})
	if err != nil {
		return err
	}
	s.sessions.Put(ctx, keySignIn, id)
	if old, err := c.Cookie(s.sessions.Cookie.Name); err == nil {
		if err := s.forget(c.Request().Context(), old.Value); err != nil {
			return err
		}
	}
	if err := s.store.DeleteExpiredSessions(ctx); err != nil {
		return err
	}
	token, expiry, err := s.sessions.Commit(ctx)
	if err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "The session could not be kept.", Err: err}
	}
	s.sessions.WriteSessionCookie(ctx, c.Response(), token, expiry)
	return nil
}

// forget ends the session that a cookie names, if there is one.
func (s *Service) forget(ctx context.Context, cookie string) error {
	ctx, err := s.sessions.Load(ctx, cookie)
	if err == nil {
		if id := s.sessions.GetString(ctx, keySignIn); id != "" {
			err = errors.Join(s.store.ForgetSignIn(ctx, id), s.sessions.Destroy(ctx))
		}
	}
	if err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "The session could not be ended.", Err: err}
	}
	return nil
}

// Record writes a line of the audit log for the request: who did what to what,
// and how it came out. Nothing that must be on record happens where it fails.
func (s *Service) Record(c echo.Context, action, target, outcome, reason string) error {
	actor := "nobody"
	if a := Of(c); a != nil {
		actor = a.Name
	}
	return s.record(c, actor, action, target, outcome, reason)
}

// RecordIn is Record in the transaction that st belongs to: the line is there
// exactly when what it tells of was done. Others who write to the log wait for
// that transaction's end, so call it last.
func (s *Service) RecordIn(c echo.Context, st *store.Store, action, target, outcome, reason string) error {
	return s.write(c, st, Of(c).Name, action, target, outcome, reason)
}

func (s *Service) record(c echo.Context, actor, action, target, outcome, reason string) error {
	return s.write(c, s.store, actor, action, target, outcome, reason)
}

func (s *Service) write(c echo.Context, st *store.Store, actor, action, target, outcome, reason string) error {
	_, err := st.AppendAudit(c.Request().Context(), store.AuditEntry{
		At: s.clock(), Actor: actor, Action: action, Target: short(target), Outcome: short(outcome), Reason: short(reason),
		IP: c.RealIP(), UserAgent: short(c.Request().UserAgent()), RequestID: c.Response().Header().Get(echo.HeaderXRequestID),
	})
	return err
}

// short bounds what a request can put into the log, and keeps it text that
// Postgres takes.
func short(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "�"), "�")
}

// Database finds a registered database by its name or UUID. Errors:
// ErrNotFound where there is none, or whoever asks may not know of it.
func Database(ctx context.Context, s *store.Store, who *Actor, name string) (backup.Database, error) {
	db, err := s.DatabaseByName(ctx, name)
	if errors.Is(err, backup.ErrNotFound) {
		db, err = s.Database(ctx, name)
	}
	if errors.Is(err, backup.ErrNotFound) || err == nil && !who.Sees(db.ID) {
		return backup.Database{}, backup.Errorf(backup.ErrNotFound, "There is no database of that name.")
	}
	return db, err
}
