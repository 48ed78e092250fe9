package auth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/AutumnsGrove/Patina/backup"
)

// Issuer is the OpenID Connect issuer that people may sign in with.
type Issuer struct {
	URL          string
	ClientID     string
	ClientSecret string // "" for a public client: PKCE alone protects the code
	Allowed      Allowed
}

// Name is how the sign-in page calls it.
func (i Issuer) Name() string {
	u, err := url.Parse(i.URL)
	if err != nil || u.Host == "" {
		return i.URL
	}
	return u.Hostname()
}

// CallbackPath is where an issuer sends people back to.
const CallbackPath = "/sign-in/callback"

// issuerPatience bounds what an issuer may take, and issuerAnswer what it may say.
const (
	issuerPatience = 10 * time.Second
	issuerAnswer   = 1 << 20
)

// single is single sign-on with one issuer. What the issuer says of itself is
// asked for when first needed, and again until it answers.
type single struct {
	issuer   Issuer
	redirect string
	client   *http.Client
	log      *slog.Logger
	clock    func() time.Time

	mu       sync.Mutex
	provider *oidc.Provider
}

func newSingle(i Issuer, publicURL string, log *slog.Logger, clock func() time.Time) *single {
	return &single{
		issuer: i, redirect: publicURL + CallbackPath, log: log, clock: clock,
		client: &http.Client{Timeout: issuerPatience, Transport: bounded{http.DefaultTransport}},
	}
}

// bounded limits how much of an answer is read.
type bounded struct{ http.RoundTripper }

// RoundTrip sends a request, whose answer ends early where it is too long.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, issuerAnswer), res.Body}
	}
	return res, err
}

func (s *single) down(err error) error {
	return &backup.Error{
		Kind: backup.ErrUnavailable, Message: s.issuer.Name() + " does not answer as it should, so nobody can sign in with it for now.",
		Next: "A password still leads in. Try again in a minute.", Err: err,
	}
}

// open gives what is needed to talk to the issuer. Errors: ErrUnavailable.
func (s *single) open(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), s.issuer.URL)
		if err != nil {
			return nil, nil, s.down(err)
		}
		s.provider = p
	}
	return s.provider, &oauth2.Config{
		ClientID: s.issuer.ClientID, ClientSecret: s.issuer.ClientSecret, Endpoint: s.provider.Endpoint(), RedirectURL: s.redirect,
		Scopes: s.scopes(),
	}, nil
}

// scopes asks for groups only of an issuer that says that it knows them.
func (s *single) scopes() []string {
	scopes := []string{oidc.ScopeOpenID, "profile", "email"}
	var said struct {
		Scopes []string `json:"scopes_supported"`
	}
	if s.provider.Claims(&said) == nil && slices.Contains(said.Scopes, "groups") {
		scopes = append(scopes, "groups")
	}
	return scopes
}

// errIssuer is why what came back from the issuer is not believed; its text is
// for the audit log.
type errIssuer struct{ text string }

// Error tells it.
func (e errIssuer) Error() string { return e.text }

// exchange gives what the issuer says of whoever brought a code back. Errors:
// ErrUnavailable; errIssuer where it cannot be believed.
func (s *single) exchange(ctx context.Context, code string, t ticket) (claims, error) {
	ctx = oidc.ClientContext(ctx, s.client)
	provider, cfg, err := s.open(ctx)
	if err != nil {
		return claims{}, err
	}
	token, err := cfg.Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.Response != nil && answered.Response.StatusCode < 500:
		return claims{}, errIssuer{"the issuer does not take the code"}
	case err != nil:
		return claims{}, s.down(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return claims{}, errIssuer{"the issuer sent no ID token"}
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: s.issuer.ClientID, Now: s.clock}).Verify(ctx, raw)
	if err != nil {
		return claims{}, errIssuer{"the ID token is not valid: " + err.Error()}
	}
	if id.Nonce == "" || !same(id.Nonce, t.Nonce) {
		return claims{}, errIssuer{"the ID token's nonce is not the one that was asked with"}
	}
	var said map[string]any
	if err := id.Claims(&said); err != nil {
		return claims{}, errIssuer{"the ID token's claims cannot be read"}
	}
	if azp, _ := said["azp"].(string); len(id.Audience) > 1 && azp != s.issuer.ClientID || azp != "" && azp != s.issuer.ClientID {
		return claims{}, errIssuer{"the ID token was made for another program"}
	}
	if _, has := said["email"]; !has && provider.UserInfoEndpoint() != "" {
		if err := s.ask(ctx, provider, token, id.Subject, said); err != nil {
			return claims{}, err
		}
	}
	return read(id.Subject, said), nil
}

// ask adds what the issuer tells of the same person elsewhere.
func (s *single) ask(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, subject string, said map[string]any) error {
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return s.down(err)
	}
	if info.Subject != subject {
		return errIssuer{"the issuer tells of somebody else than the ID token does"}
	}
	var more map[string]any
	if err := info.Claims(&more); err != nil {
		return errIssuer{"what the issuer tells of the person cannot be read"}
	}
	for k, v := range more {
		if _, has := said[k]; !has {
			said[k] = v
		}
	}
	return nil
}

// read takes what we go by out of the claims. An address counts only where the
// issuer says that it has verified it.
func read(subject string, said map[string]any) claims {
	c := claims{Subject: subject}
	c.Username, _ = said["preferred_username"].(string)
	if verified, _ := said["email_verified"].(bool); verified {
		c.Email, _ = said["email"].(string)
	}
	switch groups := said["groups"].(type) {
	case string:
		c.Groups = []string{groups}
	case []any:
		for _, g := range groups {
			if name, ok := g.(string); ok {
				c.Groups = append(c.Groups, name)
			}
		}
	}
	return c
}

// ticket is what a browser brings back from the issuer beside the code: sealed,
// so that only we can have made it, and bound to that browser as its cookie.
type ticket struct {
	State, Nonce, Verifier, Next string
	Until                        time.Time
}

func (t ticket) encode() ([]byte, error) { return json.Marshal(t) }
