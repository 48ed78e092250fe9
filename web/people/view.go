package people

import (
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Marks of people and tokens.
var (
	markActive   = ui.Mark{State: "proven", Icon: "circle-check", Word: "active"}
	markDisabled = ui.Mark{State: "unknown", Icon: "ban", Word: "shut out"}
	markWaits    = ui.Mark{State: "attention", Icon: "hourglass", Word: "link not used yet"}
	markNoWay    = ui.Mark{State: "unknown", Icon: "circle-minus", Word: "has no way in"}
	markExpired  = ui.Mark{State: "unknown", Icon: "circle-minus", Word: "expired"}
	markRevoked  = ui.Mark{State: "unknown", Icon: "ban", Word: "revoked"}
	markSoon     = ui.Mark{State: "attention", Icon: "hourglass", Word: "ends soon"}
)

// soon is when a token's end is worth a word.
const soon = 14 * 24 * time.Hour

type listModel struct {
	Rows    []personRow
	MayLoad bool // may grant the right to download
}

type personRow struct {
	Name, Href, Rights, Signs string
	You                       bool
	Mark                      ui.Mark
	Last                      ui.Moment
	Sessions                  string
}

func viewList(list []personJSON, a *auth.Actor, now time.Time) listModel {
	m := listModel{MayLoad: a.May(auth.Download)}
	for _, p := range list {
		m.Rows = append(m.Rows, rowOf(p, a, now))
	}
	return m
}

func rowOf(p personJSON, a *auth.Actor, now time.Time) personRow {
	return personRow{
		Name: ui.Name(p.Name), Href: "/settings/people/" + p.ID, Rights: rightsOf(p.Role, p.Downloader), Signs: waysIn(p), You: p.ID == a.ID,
		Mark: markOf(p), Last: ui.AgoPtr(p.LastSignInAt, now), Sessions: places(p.Sessions),
	}
}

func places(n int) string {
	if n == 0 {
		return "nowhere"
	}
	return ui.Plural(int64(n), "place", "places")
}

func waysIn(p personJSON) string {
	var ways []string
	if p.Password {
		ways = append(ways, "password")
	}
	if len(p.Identities) > 0 {
		ways = append(ways, "single sign-on")
	}
	if len(ways) == 0 {
		return "no password yet"
	}
	return strings.Join(ways, ", ")
}

func markOf(p personJSON) ui.Mark {
	switch {
	case p.DisabledAt != nil:
		return markDisabled
	case p.Password || len(p.Identities) > 0:
		return markActive
	case p.LinkExpires != nil:
		return markWaits
	}
	return markNoWay
}

type personModel struct {
	personRow
	ID         string
	Role       string
	Downloader bool
	Disabled   bool
	MayLoad    bool   // whoever looks may grant the right to download
	MayLink    bool   // whoever looks may make a link for them
	MayEnable  bool   // whoever looks may let them in again
	Link       string // made just now
	LinkUntil  *ui.Moment
	Facts      []ui.Definition
	SignIns    []sessionRow
}

type sessionRow struct {
	ID, Where, Agent, Full, Method string
	Since, Seen                    ui.Moment
	Current                        bool
}

func viewPerson(p personDetailJSON, a *auth.Actor, now time.Time) personModel {
	loads := a.May(auth.Download)
	m := personModel{
		personRow: rowOf(p.personJSON, a, now), ID: p.ID, Role: string(p.Role), Downloader: p.Downloader, Disabled: p.DisabledAt != nil,
		MayLoad: loads || p.Downloader, MayLink: p.DisabledAt == nil && (loads || !p.Downloader || p.ID == a.ID), MayEnable: loads || !p.Downloader, Link: p.Link, SignIns: sessionRows(p.SignIns, now),
	}
	if p.LinkExpires != nil {
		at := ui.Clock(*p.LinkExpires)
		m.LinkUntil = &at
	}
	m.Facts = []ui.Definition{
		{Term: "May", Text: m.Rights},
		{Term: "Signs in with", Text: m.Signs},
		{Term: "Last sign-in", Text: ui.AgoPtr(p.LastSignInAt, now).Word},
		{Term: "Since", Text: ui.Clock(p.CreatedAt).Word},
	}
	for _, i := range p.Identities {
		m.Facts = append(m.Facts, ui.Definition{Term: "Known to " + ui.Name(i.Issuer) + " as", Text: ui.Name(i.Email + " (" + i.Subject + ")")})
	}
	return m
}

func sessionRows(list []sessionJSON, now time.Time) []sessionRow {
	var out []sessionRow
	for _, s := range list {
		out = append(out, sessionRow{
			ID: s.ID, Where: ui.Name(s.IP), Agent: agent(s.UserAgent), Full: ui.Name(s.UserAgent), Method: "by " + s.Method,
			Since: ui.Clock(s.CreatedAt), Seen: ui.Ago(s.SeenAt, now), Current: s.Current,
		})
	}
	return out
}

// agent names a browser and a system in the words that people use, or gives
// what the program calls itself.
func agent(s string) string {
	browser, system := "", ""
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(s, b[0]) {
			browser = b[1]
			break
		}
	}
	for _, o := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(s, o[0]) {
			system = o[1]
			break
		}
	}
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case s == "":
		return "a program that gives no name"
	}
	if r := []rune(ui.Name(s)); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return ui.Name(s)
}

type accountModel struct {
	Name     string
	Token    bool
	Password bool
	Facts    []ui.Definition
	SignIns  []sessionRow
	Others   bool
}

func viewAccount(j accountJSON, a *auth.Actor, now time.Time) accountModel {
	m := accountModel{Name: ui.Name(j.Name), Token: a.Token, Password: j.Password, SignIns: sessionRows(j.SignIns, now), Others: len(j.SignIns) > 1}
	m.Facts = []ui.Definition{{Term: "Name", Text: m.Name}, {Term: "May", Text: rightsOf(store.Role(j.Role), j.Downloader)}}
	return m
}

type choice struct{ Value, Word string }

type tokensModel struct {
	Rows    []tokenRow
	Made    *tokenRow
	Secret  string
	MayLoad bool
	Choices []choice // nil where there are too many to choose from
	Until   string   // no token made here lasts longer; "" for no such bound
}

type tokenRow struct {
	ID, Name, Hint, Rights, Databases, By string
	Mark                                  ui.Mark
	Made, Used                            ui.Moment
	Ends                                  ui.Moment
	Valid                                 bool
}

// manyChoices is how many databases are offered one by one.
const manyChoices = 40

func viewTokens(list []tokenJSON, made *tokenJSON, choices []choice, a *auth.Actor, now time.Time) tokensModel {
	m := tokensModel{MayLoad: a.May(auth.Download)}
	if len(choices) <= manyChoices {
		m.Choices = choices
	}
	if a.Until != nil {
		m.Until = ui.Clock(*a.Until).Word
	}
	for _, t := range list {
		m.Rows = append(m.Rows, tokenRowOf(t, now))
	}
	if made != nil {
		row := tokenRowOf(*made, now)
		m.Made, m.Secret = &row, made.Token
	}
	return m
}

func tokenRowOf(t tokenJSON, now time.Time) tokenRow {
	r := tokenRow{
		ID: t.ID, Name: ui.Name(t.Name), Hint: ui.Name(t.Hint), Rights: rightsOf(t.Role, t.Downloader), Databases: "every database", By: ui.Name(t.CreatedBy),
		Made: ui.Clock(t.CreatedAt), Used: ui.AgoPtr(t.LastUsedAt, now), Ends: ui.Moment{Word: "never"}, Valid: t.State == "valid",
	}
	if t.Databases != nil {
		shown := t.Databases[:min(len(t.Databases), 3)]
		r.Databases = ui.Name(strings.Join(shown, ", "))
		if more := len(t.Databases) - len(shown); more > 0 {
			r.Databases += " and " + ui.Count(int64(more)) + " more"
		}
	}
	if t.ExpiresAt != nil {
		r.Ends = ui.Moment{At: *t.ExpiresAt, Word: t.ExpiresAt.UTC().Format(time.DateOnly)}
	}
	switch {
	case t.State == "revoked":
		r.Mark = markRevoked
	case t.State == "expired":
		r.Mark = markExpired
	case t.ExpiresAt != nil && t.ExpiresAt.Sub(now) < soon:
		r.Mark = markSoon
	default:
		r.Mark = ui.Mark{State: "proven", Icon: "circle-check", Word: "valid"}
	}
	return r
}
