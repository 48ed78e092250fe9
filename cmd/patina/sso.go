package main

import (
	"net"
	"net/url"

	"github.com/AutumnsGrove/Patina/web/auth"
)

// loadIssuer reads whom people may sign in with beside a password; nil where
// nothing says.
func (c *Config) loadIssuer(get func(string) string) *auth.Issuer {
	i := auth.Issuer{URL: get("PATINA_OIDC_ISSUER"), ClientID: get("PATINA_OIDC_CLIENT_ID"), ClientSecret: get("PATINA_OIDC_CLIENT_SECRET")}
	allowed := get("PATINA_OIDC_ALLOWED")
	if i.URL == "" {
		if i.ClientID != "" || i.ClientSecret != "" || allowed != "" {
			c.problem("PATINA_OIDC_ISSUER is not set, and the other PATINA_OIDC settings are of no use without it")
		}
		return nil
	}
	u, err := url.Parse(i.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		c.problem("PATINA_OIDC_ISSUER must be the issuer's address, exactly as it gives it itself, such as https://id.example.org")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.problem("PATINA_OIDC_ISSUER must be https: whoever is in between could let themselves in")
	}
	if i.ClientID == "" {
		c.problem("PATINA_OIDC_CLIENT_ID is not set: the name by which the issuer knows Patina")
	}
	if i.Allowed, err = auth.ParseAllowed(allowed); err != nil {
		c.problem("PATINA_OIDC_ALLOWED: %v", err)
	}
	if c.PublicURL == "" {
		c.problem("PATINA_PUBLIC_URL is not set, and the issuer must know where to send people back to: that address and %s", auth.CallbackPath)
	}
	return &i
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
