package settings

import (
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Erase is POST /databases/:db/erase: all copies of a database that the account
// no longer has are deleted, once its name was typed.
func (h *Handler) Erase(c echo.Context) error {
	v, _, err := ui.Fields(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	db, err := auth.Database(ctx, h.Store, auth.Of(c), c.Param("db"))
	if err != nil {
		return err
	}
	if v.Get("confirm") != db.Name {
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: "The name that was typed is not " + ui.Name(db.Name) + "; nothing was deleted.",
			Next: "Type the name of the database whose copies are to be deleted, exactly.",
		}
	}
	started, err := h.Requests.Request(ctx, backup.Request{Action: backup.ActionErase, Databases: []string{db.ID}, Trigger: trigger(c), Actor: auth.Of(c).Name})
	if err != nil {
		return err
	}
	if err := h.Auth.Record(c, "erase", "database "+db.Name+" ("+db.ID+")", "started", "job "+started.JobID); err != nil {
		return err
	}
	return started202(c, started)
}
