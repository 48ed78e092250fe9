package settings

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// redactionJSON is what is redacted of one database, as programs get it. Fields
// may be added, never renamed.
type redactionJSON struct {
	Database   string   `json:"database"`
	DatabaseID string   `json:"database_id"`
	Rules      []string `json:"rules"` // table.column → null or hash
	Fixed      bool     `json:"fixed"` // patina.toml says it
	URL        string   `json:"url"`
}

func redactionOf(db backup.Database) redactionJSON {
	return redactionJSON{db.Name, db.ID, backup.RedactionTexts(db.Redact), db.RedactFixed, redactionPath(db)}
}

func redactionPath(db backup.Database) string {
	return "/settings/redaction/" + ui.Ref(db.Name, db.ID)
}

// Redactions is GET /settings/redaction: what the copies of each database leave
// out.
func (h *Handler) Redactions(c echo.Context) error {
	all, err := h.Store.Databases(c.Request().Context(), store.DatabaseFilter{})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(db backup.Database) bool { return !auth.Of(c).Sees(db.ID) })
	list := make([]redactionJSON, len(all))
	for i, db := range all {
		list[i] = redactionOf(db)
	}
	q := strings.TrimSpace(c.QueryParam("q"))
	if err := ui.CheckText(q); err != nil {
		return err
	}
	return ui.Write(c, ui.Answer{JSON: map[string]any{"databases": list}, Page: redactionsPage(auth.Chrome(c, "Redaction", "settings"), redactionsView(all, q))})
}

// Redaction is GET /settings/redaction/:db: the rules of one database.
func (h *Handler) Redaction(c echo.Context) error {
	ctx := c.Request().Context()
	db, err := auth.Database(ctx, h.Store, auth.Of(c), c.Param("db"))
	if err != nil {
		return err
	}
	newest, err := h.newestCopy(ctx, db)
	if err != nil {
		return err
	}
	return ui.Write(c, ui.Answer{JSON: redactionOf(db), Page: redactionPage(auth.Chrome(c, "Redaction of "+ui.Name(db.Name), "settings"), redactionView(db, newest))})
}

// newestCopy gives the copy of a database that was taken last, with its
// manifest; nil where there is none.
func (h *Handler) newestCopy(ctx context.Context, db backup.Database) (*backup.Copy, error) {
	list, _, err := h.Store.Copies(ctx, store.CopyFilter{DatabaseID: db.ID, Limit: 20})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	newest := slices.MaxFunc(list, func(a, b backup.Copy) int { return a.TakenAt.Compare(b.TakenAt) })
	full, err := h.Store.Copy(ctx, newest.ID)
	if backup.Kind(err) == backup.ErrNotFound {
		return nil, nil
	}
	return &full, err
}

// SetRedaction is POST /settings/redaction/:db: rules is a text of one rule a
// line; left out, everything stays as it is.
func (h *Handler) SetRedaction(c echo.Context) error {
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	db, err := auth.Database(ctx, h.Store, auth.Of(c), c.Param("db"))
	if err != nil {
		return err
	}
	rules, was := db.Redact, db.Redact
	if v.Has("rules") {
		if rules, err = backup.ParseRedactions(ruleLines(v.Get("rules"))); err != nil {
			return &backup.Error{Kind: backup.ErrInvalid, Message: "Nothing was changed: " + err.Error() + ".", Next: "One rule a line, such as users.password_hash = null or sessions.token = hash."}
		}
		if was, err = h.Store.SetRedactions(ctx, db.ID, rules); err != nil {
			return err
		}
	}
	why := ruleWords(was) + " → " + ruleWords(rules)
	if slices.Equal(was, rules) {
		why = "as before: " + ruleWords(rules)
	}
	if err := h.Auth.Record(c, "set redaction", "database "+db.Name+" ("+db.ID+")", "done", why); err != nil {
		return err
	}
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, redactionPath(db))
	}
	db.Redact = rules
	return c.JSON(http.StatusOK, redactionOf(db))
}

// ruleLines cuts a text into its lines that hold anything.
func ruleLines(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// ruleWords says rules in a line, for the audit log.
func ruleWords(rules []backup.Redaction) string {
	if len(rules) == 0 {
		return "nothing redacted"
	}
	return "[" + strings.Join(backup.RedactionTexts(rules), ", ") + "]"
}
