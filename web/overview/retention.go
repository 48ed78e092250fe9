package overview

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// ConfirmRetention is POST /settings/retention/confirm: after a rebuild, old
// copies may expire again. Where they may already, nothing is changed.
func (h *Handler) ConfirmRetention(c echo.Context) error {
	if auth.Of(c).Databases != nil {
		return backup.Errorf(backup.ErrDenied, "This is about databases that this token may not touch.")
	}
	ctx := c.Request().Context()
	reason, _, err := h.Store.RetentionFrozen(ctx)
	if err != nil && !errors.Is(err, backup.ErrCorrupt) {
		return err
	}
	was, err := h.Store.ThawRetention(ctx)
	if err != nil {
		return err
	}
	if was {
		if err := h.Auth.Record(c, store.ConfirmRetentionAction, "retention", "done", reason); err != nil {
			return err
		}
	}
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, "/")
	}
	return c.JSON(http.StatusOK, map[string]bool{"frozen": false, "was_frozen": was})
}
