package settings

import (
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Index is GET /settings: what can be set, and where.
func (h *Handler) Index(c echo.Context) error {
	type section struct {
		Name string `json:"name"`
		URL  string `json:"url"`
		What string `json:"what"`
	}
	p := auth.Chrome(c, "Settings", "settings")
	sections := []section{}
	for _, s := range ui.SettingsPages(p.Who) {
		sections = append(sections, section{s.Name, s.Href, s.What})
	}
	return ui.Write(c, ui.Answer{JSON: map[string]any{"sections": sections}, Page: indexPage(p)})
}
