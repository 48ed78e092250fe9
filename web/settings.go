package web

import (
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/overview"
	"github.com/AutumnsGrove/Patina/web/people"
	"github.com/AutumnsGrove/Patina/web/settings"
)

// settings is every route of the settings.
func (s *Server) settings(home *overview.Handler) []Route {
	c := s.cfg
	set := settings.Handler{Store: c.Store, Requests: c.Requests, Auth: s.auth, Keep: c.Keep, Cleanup: c.Cleanup, Clock: c.Clock}
	who := people.Handler{Store: c.Store, Auth: s.auth, PublicURL: c.PublicURL, Clock: c.Clock}
	return []Route{
		{"POST", "/databases/:db/erase", auth.Admin, set.Erase, false},
		{"GET", "/settings/retention", auth.Admin, set.Retention, false},
		{"POST", "/settings/retention", auth.Admin, set.SetRetention, false},
		{"POST", "/settings/retention/change", auth.Admin, set.ConfirmChange, false},
		{"POST", "/settings/retention/clock", auth.Admin, set.ConfirmClock, false},
		{"POST", "/settings/retention/run", auth.Admin, set.Run, false},
		{"POST", "/settings/retention/confirm", auth.Admin, home.ConfirmRetention, false},
		{"GET", "/settings/redaction", auth.Admin, set.Redactions, false},
		{"GET", "/settings/redaction/:db", auth.Admin, set.Redaction, false},
		{"POST", "/settings/redaction/:db", auth.Admin, set.SetRedaction, false},
		{"GET", "/settings", auth.View, set.Index, false},
		{"GET", "/settings/account", auth.View, who.Account, false},
		{"POST", "/settings/account/password", auth.View, s.auth.ChangePassword, false},
		{"POST", "/settings/account/sessions/end", auth.View, who.EndOwn, false},
		{"GET", "/settings/people", auth.Admin, who.List, false},
		{"POST", "/settings/people", auth.Admin, who.Add, false},
		{"GET", "/settings/people/:id", auth.Admin, who.Show, false},
		{"POST", "/settings/people/:id/rights", auth.Admin, who.SetRights, false},
		{"POST", "/settings/people/:id/link", auth.Admin, who.Link, false},
		{"POST", "/settings/people/:id/disable", auth.Admin, who.Disable, false},
		{"POST", "/settings/people/:id/enable", auth.Admin, who.Enable, false},
		{"POST", "/settings/people/:id/sessions/end", auth.Admin, who.EndSessions, false},
		{"GET", "/settings/tokens", auth.Admin, who.Tokens, false},
		{"POST", "/settings/tokens", auth.Admin, who.AddToken, false},
		{"POST", "/settings/tokens/:id/revoke", auth.Admin, who.Revoke, false},
	}
}
