package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

// AlertConfig is what the environment says about alerts.
type AlertConfig struct {
	SecretPrevious Secret      // base64 of 32 bytes; still opens what it sealed
	SummaryAt      string      // cron spec, UTC
	HeartbeatURL   Secret      // the address is all that is needed to ping it
	DiscordURL     Secret      // holds Discord's token
	WebhookURL     Secret      // may hold one
	Allow          alert.Allow // private addresses that webhooks may reach
	MetricsToken   Secret
}

// loadAlerts reads what concerns alerts. No message holds an address.
func (c *Config) loadAlerts(get func(string) string) {
	a := &c.Alerts
	a.SecretPrevious, a.MetricsToken = Secret(get("PATINA_SECRET_PREVIOUS")), Secret(get("PATINA_METRICS_TOKEN"))
	a.HeartbeatURL, a.DiscordURL, a.WebhookURL = Secret(get("PATINA_HEARTBEAT_URL")), Secret(get("DISCORD_WEBHOOK_URL")), Secret(get("PATINA_WEBHOOK_URL"))
	if a.SecretPrevious != "" {
		if _, err := decodeKey(a.SecretPrevious.Reveal()); err != nil {
			c.problem("PATINA_SECRET_PREVIOUS is not 32 bytes in base64")
		}
	}
	if a.MetricsToken != "" && len(a.MetricsToken) < 16 {
		c.problem("PATINA_METRICS_TOKEN has fewer than 16 characters; make one with: openssl rand -base64 32")
	}
	at := get("PATINA_SUMMARY_AT")
	if at == "" {
		at = "08:00"
	}
	if t, err := time.Parse("15:04", at); err != nil {
		c.problem("PATINA_SUMMARY_AT is %q, and must be an hour of the day in UTC such as 08:00", at)
	} else {
		a.SummaryAt = fmt.Sprintf("%d %d * * *", t.Minute(), t.Hour())
	}
	var err error
	if a.Allow, err = alert.ParseAllow(get("PATINA_WEBHOOK_ALLOW")); err != nil {
		c.problem("PATINA_WEBHOOK_ALLOW: %v", err)
	}
	sender := alert.NewSender(a.Allow, "", nil)
	for _, u := range []struct {
		name, kind string
		address    Secret
	}{{"PATINA_HEARTBEAT_URL", "", a.HeartbeatURL}, {"DISCORD_WEBHOOK_URL", alert.Discord, a.DiscordURL}, {"PATINA_WEBHOOK_URL", alert.Webhook, a.WebhookURL}} {
		if u.address == "" {
			continue
		}
		if err := sender.CheckURL(u.kind, u.address.Reveal()); err != nil {
			c.problem("%s: %v", u.name, err)
		}
	}
}

// openAlerts makes what seals and what carries messages.
func (in *installation) openAlerts() error {
	key, err := in.secretKey()
	if err != nil {
		return err
	}
	var previous []byte
	if s := in.cfg.Alerts.SecretPrevious.Reveal(); s != "" {
		if previous, err = decodeKey(s); err != nil {
			return err
		}
	}
	in.sealer, err = alert.NewSealer(key, previous)
	in.sender = alert.NewSender(in.cfg.Alerts.Allow, programVersion(), in.clock)
	return err
}

// enterChannels makes the channels that the environment names, once: one that
// was deleted in the dashboard does not come back. An address that changed in
// the environment changes in the channel.
func (in *installation) enterChannels(ctx context.Context) error {
	a := in.cfg.Alerts
	for _, c := range []struct {
		origin, kind, name string
		address            Secret
	}{{"DISCORD_WEBHOOK_URL", alert.Discord, "Discord", a.DiscordURL}, {"PATINA_WEBHOOK_URL", alert.Webhook, "Webhook", a.WebhookURL}} {
		if c.address == "" {
			continue
		}
		if err := in.enterChannel(ctx, c.origin, c.kind, c.name, c.address.Reveal()); err != nil {
			return fmt.Errorf("the channel of %s: %w", c.origin, err)
		}
	}
	return nil
}

func (in *installation) enterChannel(ctx context.Context, origin, kind, name, address string) error {
	list, err := in.store.AlertConfigs(ctx)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Origin == origin {
			return in.followAddress(ctx, c, address)
		}
	}
	now := in.clock()
	c := store.AlertConfig{
		ID: uuid.Must(uuid.NewV7()).String(), Kind: kind, Name: name, Enabled: true, NotifySuccess: true, NotifyFailure: true, NotifySummary: true,
		Address: alert.Masked(address), Origin: origin, CreatedAt: now, UpdatedAt: now,
	}
	if c.URLSealed, err = in.sealer.Seal(address, alert.Purpose(c.ID, "url")); err != nil {
		return err
	}
	if kind == alert.Webhook {
		if c.SecretSealed, err = in.sealer.Seal(alert.NewSigningSecret(), alert.Purpose(c.ID, "secret")); err != nil {
			return err
		}
	}
	made, err := in.store.EnsureAlertConfig(ctx, c)
	if made {
		in.log.Info("made an alert channel", "from", origin)
	}
	return err
}

// followAddress gives a channel the address that the environment names now.
func (in *installation) followAddress(ctx context.Context, c store.AlertConfig, address string) error {
	old, _, err := in.sealer.Open(c.URLSealed, alert.Purpose(c.ID, "url"))
	if err == nil && old == address {
		return nil
	}
	if c.URLSealed, err = in.sealer.Seal(address, alert.Purpose(c.ID, "url")); err != nil {
		return err
	}
	c.Address, c.UpdatedAt = alert.Masked(address), in.clock()
	c.Enabled, c.DisabledReason = c.Enabled || c.DisabledReason != "", ""
	in.log.Info("an alert channel has a new address", "channel", c.Name, "from", c.Origin)
	return in.store.UpdateAlertConfig(ctx, c)
}
