package main

import (
	"strings"
	"testing"
)

// Single sign-on is set up whole, over https, with somebody who is let in.
func TestIssuerSettings(t *testing.T) {
	t.Parallel()
	whole := env{
		"PATINA_OIDC_ISSUER": "https://id.example.org", "PATINA_OIDC_CLIENT_ID": "patina", "PATINA_OIDC_CLIENT_SECRET": "canary-client-secret",
		"PATINA_OIDC_ALLOWED": "ada@example.org=admin+downloader, @example.org=viewer", "PATINA_PUBLIC_URL": "https://patina.example.org",
	}
	c := loadConfig(whole.lookup, "")
	if err := c.Validate(); err != nil || c.Issuer == nil || len(c.Issuer.Allowed) != 2 || c.Issuer.ClientSecret != "canary-client-secret" {
		t.Fatalf("%v, %+v", err, c.Issuer)
	}
	if c := loadConfig(env{}.lookup, ""); c.Issuer != nil || c.Validate() != nil {
		t.Errorf("without settings: %+v, %v", c.Issuer, c.Validate())
	}
	for name, tt := range map[string]struct{ key, value, want string }{
		"no rule":    {"PATINA_OIDC_ALLOWED", "", "no rule says who may come in"},
		"odd role":   {"PATINA_OIDC_ALLOWED", "@example.org=king", "is no rule"},
		"odd right":  {"PATINA_OIDC_ALLOWED", "@example.org=viewer+king", "is no rule"},
		"in between": {"PATINA_OIDC_ISSUER", "http://id.example.org", "must be https"},
		"no address": {"PATINA_OIDC_ISSUER", "id.example.org", "must be the issuer's address"},
		"no client":  {"PATINA_OIDC_CLIENT_ID", "", "PATINA_OIDC_CLIENT_ID is not set"},
		"no way":     {"PATINA_PUBLIC_URL", "", "where to send people back to"},
		"no issuer":  {"PATINA_OIDC_ISSUER", "", "of no use without it"},
	} {
		e := env{}
		for k, v := range whole {
			e[k] = v
		}
		e[tt.key] = tt.value
		err := loadConfig(e.lookup, "").Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := env{}
	for k, v := range whole {
		e[k] = v
	}
	e["PATINA_OIDC_ISSUER"] = "http://127.0.0.1:5556/dex"
	if err := loadConfig(e.lookup, "").Validate(); err != nil {
		t.Errorf("an issuer on this machine: %v", err)
	}
}
