package alerts

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Add is POST /alerts.
func (h *Handler) Add(c echo.Context) error {
	v, err := fields(c)
	if err != nil {
		return err
	}
	now := h.Clock()
	ch := store.AlertConfig{
		ID: uuid.Must(uuid.NewV7()).String(), Kind: v.Get("kind"), Enabled: true, NotifySuccess: yes(v, "success"), NotifyFailure: yes(v, "failure"),
		NotifySummary: yes(v, "summary"), CreatedAt: now, UpdatedAt: now,
	}
	if ch.Kind != alert.Webhook && ch.Kind != alert.Discord {
		return backup.Errorf(backup.ErrInvalid, "Choose what kind of channel it is: webhook or discord.")
	}
	if ch.Name, err = channelName(v.Get("name")); err != nil {
		return err
	}
	if err := h.address(&ch, v.Get("url")); err != nil {
		return err
	}
	secret := ""
	if ch.Kind == alert.Webhook {
		secret = alert.NewSigningSecret()
		if ch.SecretSealed, err = h.Channels.Sealer.Seal(secret, alert.Purpose(ch.ID, "secret")); err != nil {
			return err
		}
	}
	if err := h.Auth.Record(c, "alert channel", "channel "+ch.Name, "added", ch.Kind+" "+ch.Address); err != nil {
		return err
	}
	if _, err := h.Store.InsertAlertConfig(c.Request().Context(), ch); err != nil {
		return worded(err)
	}
	if secret != "" {
		return h.show(c, ch, secret)
	}
	return h.done(c, "/alerts/"+ch.ID, channelOf(ch, nil, nil))
}

// Edit is POST /alerts/:id.
func (h *Handler) Edit(c echo.Context) error {
	v, err := fields(c)
	if err != nil {
		return err
	}
	ch, err := h.Store.AlertConfig(c.Request().Context(), c.Param("id"))
	if err != nil {
		return noChannel(err)
	}
	if name := v.Get("name"); name != "" {
		if ch.Name, err = channelName(name); err != nil {
			return err
		}
	}
	if address := strings.TrimSpace(v.Get("url")); address != "" {
		if ch.Origin != "dashboard" {
			return backup.Errorf(backup.ErrConflict, "The address of this channel comes from %s; change it there.", ch.Origin)
		}
		if err := h.address(&ch, address); err != nil {
			return err
		}
	}
	ch.Enabled, ch.NotifySuccess, ch.NotifyFailure, ch.NotifySummary = yes(v, "enabled"), yes(v, "success"), yes(v, "failure"), yes(v, "summary")
	if ch.Enabled {
		ch.DisabledReason = ""
	}
	ch.UpdatedAt = h.Clock()
	if err := h.Auth.Record(c, "alert channel", "channel "+ch.Name, "changed", fmt.Sprintf("enabled %v, successes %v, problems %v, summary %v, %s", ch.Enabled, ch.NotifySuccess, ch.NotifyFailure, ch.NotifySummary, ch.Address)); err != nil {
		return err
	}
	if err := h.Store.UpdateAlertConfig(c.Request().Context(), ch); err != nil {
		return worded(err)
	}
	return h.done(c, "/alerts/"+ch.ID, channelOf(ch, nil, nil))
}

// Delete is POST /alerts/:id/delete. A channel that is gone already is no error.
func (h *Handler) Delete(c echo.Context) error {
	ch, err := h.Store.AlertConfig(c.Request().Context(), c.Param("id"))
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return h.done(c, "/alerts", map[string]bool{"deleted": true})
	case err != nil:
		return err
	}
	if err := h.Auth.Record(c, "alert channel", "channel "+ch.Name, "deleted", ch.Kind+" "+ch.Address); err != nil {
		return err
	}
	if err := h.Store.DeleteAlertConfig(c.Request().Context(), ch.ID); err != nil && !errors.Is(err, backup.ErrNotFound) {
		return err
	}
	return h.done(c, "/alerts", map[string]bool{"deleted": true})
}

// Secret is POST /alerts/:id/secret: a new signing secret, which signs beside
// the one before until that is forgotten ("forget").
func (h *Handler) Secret(c echo.Context) error {
	v, err := fields(c)
	if err != nil {
		return err
	}
	ch, err := h.Store.AlertConfig(c.Request().Context(), c.Param("id"))
	if err != nil {
		return noChannel(err)
	}
	if ch.Kind != alert.Webhook {
		return backup.Errorf(backup.ErrConflict, "Only what webhooks get is signed.")
	}
	secret, outcome := "", "the secret of before forgotten"
	if yes(v, "forget") {
		ch.PreviousSealed = nil
	} else {
		secret, outcome = alert.NewSigningSecret(), "a new secret signs"
		old, _, err := h.Channels.Sealer.Open(ch.SecretSealed, alert.Purpose(ch.ID, "secret"))
		if err == nil {
			ch.PreviousSealed, err = h.Channels.Sealer.Seal(old, alert.Purpose(ch.ID, "previous"))
		}
		if err != nil { // one that no secret opens signs nothing any more
			ch.PreviousSealed = nil
		}
		if ch.SecretSealed, err = h.Channels.Sealer.Seal(secret, alert.Purpose(ch.ID, "secret")); err != nil {
			return err
		}
	}
	ch.UpdatedAt = h.Clock()
	if err := h.Auth.Record(c, "alert channel", "channel "+ch.Name, outcome, ""); err != nil {
		return err
	}
	if err := h.Store.UpdateAlertConfig(c.Request().Context(), ch); err != nil {
		return worded(err)
	}
	if secret != "" {
		return h.show(c, ch, secret)
	}
	return h.done(c, "/alerts/"+ch.ID, channelOf(ch, nil, nil))
}

// Test is POST /alerts/:id/test.
func (h *Handler) Test(c echo.Context) error {
	ctx, who := c.Request().Context(), auth.Of(c)
	ch, err := h.Store.AlertConfig(ctx, c.Param("id"))
	if err != nil {
		return noChannel(err)
	}
	if err := h.Auth.Record(c, "alert test", "channel "+ch.Name, "sent", ""); err != nil {
		return err
	}
	if _, err := h.Requests.Request(ctx, backup.Request{Action: backup.ActionTest, ChannelID: ch.ID, Actor: who.Name, Trigger: who.Trigger()}); err != nil {
		return err
	}
	return h.done(c, "/alerts/"+ch.ID, map[string]string{"status": "queued", "url": "/alerts/" + ch.ID})
}

// Seen is POST /alerts/seen: what did not get through is no longer on every page.
func (h *Handler) Seen(c echo.Context) error {
	if err := h.Auth.Record(c, "alert seen", "undelivered alerts", "seen", ""); err != nil {
		return err
	}
	if err := h.Store.SeeUndelivered(c.Request().Context(), h.Clock()); err != nil {
		return err
	}
	return h.done(c, "/alerts", map[string]bool{"seen": true})
}

// Thresholds is POST /alerts/thresholds.
func (h *Handler) Thresholds(c echo.Context) error {
	v, err := fields(c)
	if err != nil {
		return err
	}
	t, id, name := store.Thresholds{}, "", "all databases"
	if asked := v.Get("database"); asked != "" {
		db, err := auth.Database(c.Request().Context(), h.Store, auth.Of(c), asked)
		if err != nil {
			return err
		}
		id, name = db.ID, db.Name
	}
	if n, err := number(v, "long_minutes", "The minutes", 7*24*60); err != nil {
		return err
	} else if n != nil {
		seconds := int64(*n) * 60
		t.LongSeconds = &seconds
	}
	if t.SizePercent, err = number(v, "size_percent", "The size's percentage", 10_000); err != nil {
		return err
	}
	if t.RowsPercent, err = number(v, "rows_percent", "The rows' percentage", 10_000); err != nil {
		return err
	}
	if err := h.Auth.Record(c, "alert thresholds", name, "changed", fmt.Sprintf("minutes %q, size %q, rows %q", v.Get("long_minutes"), v.Get("size_percent"), v.Get("rows_percent"))); err != nil {
		return err
	}
	if err := h.Store.SetThresholds(c.Request().Context(), id, t); err != nil {
		return err
	}
	return h.done(c, "/alerts#thresholds", thresholdsOf(v.Get("database"), t))
}

// Mute is POST /alerts/mutes.
func (h *Handler) Mute(c echo.Context) error {
	v, err := fields(c)
	if err != nil {
		return err
	}
	now := h.Clock()
	m := store.Mute{CreatedBy: auth.Of(c).Name, CreatedAt: now, Reason: ui.Name(strings.TrimSpace(v.Get("reason")))}
	name := "everything"
	if asked := v.Get("database"); asked != "" {
		db, err := auth.Database(c.Request().Context(), h.Store, auth.Of(c), asked)
		if err != nil {
			return err
		}
		m.DatabaseID, name = db.ID, db.Name
	}
	hours, err := number(v, "hours", "The hours", 30*24)
	if err != nil {
		return err
	}
	if hours == nil || *hours == 0 {
		return backup.Errorf(backup.ErrInvalid, "Say for how many hours: a mute has an end.")
	}
	if len(m.Reason) > 500 {
		return backup.Errorf(backup.ErrInvalid, "A reason has at most 500 characters.")
	}
	m.Until = now.Add(time.Duration(*hours) * time.Hour)
	if err := h.Auth.Record(c, "mute", name, "until "+m.Until.UTC().Format(time.RFC3339), m.Reason); err != nil {
		return err
	}
	if m.ID, err = h.Store.InsertMute(c.Request().Context(), m); err != nil {
		return err
	}
	return h.done(c, "/alerts#mutes", muteJSON{m.ID, v.Get("database"), m.Until, m.Reason, m.CreatedBy})
}

// EndMute is POST /alerts/mutes/:id/end.
func (h *Handler) EndMute(c echo.Context) error {
	if err := h.Auth.Record(c, "mute", "mute "+c.Param("id"), "ended", ""); err != nil {
		return err
	}
	if err := h.Store.EndMute(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	return h.done(c, "/alerts#mutes", map[string]bool{"ended": true})
}

// done takes a person back to a page, and answers a program.
func (h *Handler) done(c echo.Context, path string, answer any) error {
	if ui.FaceOf(c.Request()) == ui.JSON {
		return c.JSON(http.StatusOK, answer)
	}
	return ui.Go(c, path)
}

// address checks a channel's address and seals it.
func (h *Handler) address(ch *store.AlertConfig, address string) error {
	address = strings.TrimSpace(address)
	if err := h.Channels.Sender.CheckURL(ch.Kind, address); err != nil {
		return err
	}
	sealed, err := h.Channels.Sealer.Seal(address, alert.Purpose(ch.ID, "url"))
	if err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "The address cannot be sealed: there is no secret.", Next: "Set PATINA_SECRET.", Err: err}
	}
	ch.URLSealed, ch.Address = sealed, alert.Masked(address)
	return nil
}

func channelName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || utf8.RuneCountInString(s) > 64 || s != ui.Name(s) {
		return "", backup.Errorf(backup.ErrInvalid, "A channel's name has 1 to 64 characters, on one line.")
	}
	return s, nil
}

// worded says what a person can do about a name that is taken.
func worded(err error) error {
	if errors.Is(err, backup.ErrConflict) {
		return &backup.Error{Kind: backup.ErrConflict, Message: "There is a channel of that name already.", Next: "Give it another name.", Err: err}
	}
	return err
}

func yes(v url.Values, name string) bool {
	switch v.Get(name) {
	case "on", "true", "1", "yes":
		return true
	}
	return false
}

// number reads a whole number that may be left out.
func number(v url.Values, name, what string, most int) (*int, error) {
	s := strings.TrimSpace(v.Get(name))
	if s == "" {
		return nil, nil //nolint:nilnil // left out
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return nil, backup.Errorf(backup.ErrInvalid, "%s: a whole number from 0 to %d.", what, most)
	}
	return &n, nil
}

// fields reads a form or a JSON object. A program that leaves out what a channel
// is told gets problems and summaries.
func fields(c echo.Context) (url.Values, error) {
	v, form, err := ui.Fields(c)
	if err != nil || form {
		return v, err
	}
	for _, k := range []string{"failure", "summary", "enabled"} {
		if !v.Has(k) {
			v.Set(k, "true")
		}
	}
	return v, nil
}
