package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

// channels looks whether somebody would be told when a backup fails.
func (d *doctor) channels(ctx context.Context, in *installation) {
	if err := in.openAlerts(); err != nil {
		d.fault("channels", err, "Set PATINA_SECRET.")
		return
	}
	list, err := in.store.AlertConfigs(ctx)
	if err != nil {
		d.fault("channels", err, "Check that Postgres answers.")
		return
	}
	told := false
	for _, c := range list {
		if !c.Enabled {
			d.add("channels", findingNote, "Enable it in the dashboard, Alerts, or delete it.", "%s", strings.TrimSuffix("the channel "+c.Name+" is disabled: "+c.DisabledReason, ": "))
			continue
		}
		told = told || c.NotifyFailure
		d.channel(ctx, in, c)
	}
	if !told {
		d.add("channels", findingNote, "Make a channel in the dashboard, Alerts; or set DISCORD_WEBHOOK_URL or PATINA_WEBHOOK_URL.", "nobody is told when a backup fails")
	}
	d.undelivered(ctx, in)
	d.heartbeat(ctx, in)
}

// heartbeat looks for what would notice that Patina is dead, without a beat.
func (d *doctor) heartbeat(ctx context.Context, in *installation) {
	at := d.cfg.Alerts.HeartbeatURL.Reveal()
	if at == "" {
		d.add("heartbeat", findingNote, "Set PATINA_HEARTBEAT_URL to a check of a monitoring service.", "nothing outside would notice that Patina itself is dead")
		return
	}
	if err := in.sender.Reach(ctx, "", at); err != nil {
		d.fault("heartbeat", fmt.Errorf("PATINA_HEARTBEAT_URL: %w", err), "Correct PATINA_HEARTBEAT_URL.")
		return
	}
	d.add("heartbeat", findingOK, "", "its receiver is there")
}

// channel looks at one: its address opens, and its receiver is there.
func (d *doctor) channel(ctx context.Context, in *installation, c store.AlertConfig) {
	address, _, err := in.sealer.Open(c.URLSealed, alert.Purpose(c.ID, "url"))
	if err != nil {
		d.fault("channels", fmt.Errorf("the address of %s does not open: %w", c.Name, err), "Set PATINA_SECRET_PREVIOUS to the secret of before, or enter the address again in the dashboard, Alerts.")
		return
	}
	if err := in.sender.Reach(ctx, c.Kind, address); err != nil {
		d.fault("channels", fmt.Errorf("%s (%s): %w", c.Name, alert.Masked(address), err), "Correct its address in the dashboard, Alerts.")
		return
	}
	if !d.options.send {
		d.add("channels", findingOK, "", "%s is there (nothing was sent: --send does)", c.Name)
		return
	}
	if err := d.tell(ctx, in, c); err != nil {
		d.fault("channels", fmt.Errorf("the test message to %s: %w", c.Name, err), "See its page in the dashboard, Alerts.")
		return
	}
	d.add("channels", findingOK, "", "%s took the test message", c.Name)
}

// sendWait is how long a test message may take: a worker carries it.
const sendWait = 30 * time.Second

// tell sends a test message as every message is sent, and waits for its end.
func (d *doctor) tell(ctx context.Context, in *installation, c store.AlertConfig) error {
	before, err := in.store.Deliveries(ctx, c.ID, 1)
	if err != nil {
		return err
	}
	r, err := in.runner(ctx, nil, nil)
	if err != nil {
		return err
	}
	if err := in.record(ctx, "alert test", "channel "+c.Name, "sent"); err != nil {
		return err
	}
	if _, err := r.Request(ctx, backup.Request{Action: backup.ActionTest, ChannelID: c.ID, Actor: actor(), Trigger: backup.TriggerManual}); err != nil {
		return err
	}
	for until := time.Now().Add(sendWait); time.Now().Before(until); {
		if err := backup.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		now, err := in.store.Deliveries(ctx, c.ID, 1)
		if err != nil {
			return err
		}
		if len(now) == 0 || len(before) > 0 && now[0].ID == before[0].ID {
			continue
		}
		switch m := now[0]; {
		case m.Status == store.DeliveryDone:
			return nil
		case m.Status == store.DeliveryDead || m.Tries > 0 && m.Error != "":
			return backup.Errorf(backup.ErrUnavailable, "it was not taken: %s", m.Error)
		}
	}
	return &backup.Error{Kind: backup.ErrUnavailable, Message: fmt.Sprintf("no worker carried it within %s", sendWait), Next: "Start one: patina serve"}
}

// undelivered tells what did not get through.
func (d *doctor) undelivered(ctx context.Context, in *installation) {
	dead, err := in.store.Undelivered(ctx, 3, 100)
	if err != nil {
		d.fault("channels", err, "Check that Postgres answers.")
		return
	}
	if len(dead) > 0 {
		d.add("channels", findingFail, "Read them in the dashboard, Alerts, mend the channel, and mark them as seen.", "%d messages did not get through; the newest is %q: %s", len(dead), dead[0].Title, dead[0].Error)
	}
	untold, err := in.store.Untold(ctx)
	if err != nil {
		d.fault("channels", err, "Check that Postgres answers.")
	} else if untold > 0 {
		d.add("channels", findingFail, "Read them in the dashboard, Alerts, make a channel, and mark them as seen.", "%d events should have been told, and there was nobody to tell", untold)
	}
}
