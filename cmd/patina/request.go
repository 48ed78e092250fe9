package main

import (
	"context"
	"fmt"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// workerSilence is how long a worker may be silent and still count as running.
const workerSilence = time.Minute

// request asks the job layer of a running installation for work, in the name of
// whoever sits at the command line, and puts that on record; about words the
// target behind the job's id. It says so where nobody is there to do the work.
func (a *app) request(ctx context.Context, in *installation, req backup.Request, action string, about func(backup.Started) string) (backup.Started, error) {
	r, err := in.runner(ctx, nil, nil)
	if err != nil {
		return backup.Started{}, err
	}
	req.Trigger, req.Actor = backup.TriggerManual, actor()
	started, err := r.Request(ctx, req)
	if err != nil {
		return started, err
	}
	target := "job " + started.JobID
	if about != nil {
		target += ", " + about(started)
	}
	if err := in.record(ctx, action, target, "started"); err != nil {
		return started, err
	}
	idle, err := in.noWorker(ctx)
	if err == nil && idle {
		a.say("No worker is running now: the job waits in the queue until one is (patina serve).")
	}
	return started, err
}

// unfollowed answers for a job that is not waited for; more is what --json tells
// besides.
func (a *app) unfollowed(started backup.Started, more map[string]any) error {
	if !a.json {
		_, err := fmt.Fprintln(a.out, started.JobID)
		return err
	}
	answer := map[string]any{"job_id": started.JobID, "status": started.Status}
	for k, v := range more {
		answer[k] = v
	}
	return a.printJSON(answer)
}

// noWorker tells that no process beats that could carry a job out.
func (in *installation) noWorker(ctx context.Context) (bool, error) {
	processes, err := in.store.Processes(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range processes {
		if in.clock().Sub(p.HeartbeatAt) < workerSilence {
			return false, nil
		}
	}
	return true, nil
}
