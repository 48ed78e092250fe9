package auth

import (
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// Allowed says whom single sign-on lets in, and as what: the first rule that
// fits decides. A rule is WHO=ROLE, or WHO=ROLE+downloader, with ROLE one of
// viewer, operator and admin, and WHO one of
//
//	ada@example.org   a person, by the address that the issuer has verified
//	@example.org      everybody with a verified address of that domain
//	group:ops         everybody whom the issuer puts into that group
//	sub:248289761001  a person, by the issuer's own name for them
//	*                 everybody whom the issuer lets in
type Allowed []allowRule

type allowRule struct {
	text, kind, value string
	role              store.Role
	downloader        bool
}

// ParseAllowed reads rules, separated by commas, semicolons or line ends.
// Errors: ErrInvalid, naming the rule.
func ParseAllowed(text string) (Allowed, error) {
	var out Allowed
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == '\n' }) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		r, ok := parseRule(part)
		if !ok {
			return nil, backup.Errorf(backup.ErrInvalid, "%q is no rule: write WHO=ROLE, such as ada@example.org=admin+downloader, @example.org=viewer, group:ops=operator, sub:1234=viewer or *=viewer", part)
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, backup.Errorf(backup.ErrInvalid, "no rule says who may come in: write WHO=ROLE, such as @example.org=viewer")
	}
	return out, nil
}

func parseRule(text string) (allowRule, bool) {
	at := strings.LastIndexByte(text, '=')
	if at < 1 {
		return allowRule{}, false
	}
	who, rights := strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:])
	role, more, plus := strings.Cut(rights, "+")
	r := allowRule{text: text, role: store.Role(role), downloader: plus}
	if !r.role.Valid() || plus && more != "downloader" {
		return r, false
	}
	switch {
	case who == "*":
		r.kind = "all"
	case strings.HasPrefix(who, "group:"):
		r.kind, r.value = "group", who[len("group:"):]
	case strings.HasPrefix(who, "sub:"):
		r.kind, r.value = "subject", who[len("sub:"):]
	case strings.HasPrefix(who, "@"):
		r.kind, r.value = "domain", strings.ToLower(who[1:])
	case strings.Count(who, "@") == 1:
		r.kind, r.value = "email", strings.ToLower(who)
	}
	return r, r.kind == "all" || r.kind != "" && r.value != "" && !strings.ContainsAny(r.value, " \t") && (r.kind != "domain" || !strings.Contains(r.value, "@"))
}

// claims is what an issuer says of somebody.
type claims struct {
	Subject  string
	Email    string // "" unless the issuer has verified it
	Username string
	Groups   []string
}

// find gives the first rule that fits.
func (a Allowed) find(c claims) (allowRule, bool) {
	email := strings.ToLower(c.Email)
	_, domain, _ := cutLast(email, '@')
	for _, r := range a {
		fits := false
		switch r.kind {
		case "all":
			fits = true
		case "group":
			for _, g := range c.Groups {
				fits = fits || g == r.value
			}
		case "subject":
			fits = c.Subject == r.value
		case "domain":
			fits = email != "" && domain == r.value
		case "email":
			fits = email != "" && email == r.value
		}
		if fits {
			return r, true
		}
	}
	return allowRule{}, false
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
