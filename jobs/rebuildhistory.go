package jobs

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// ledgerKept is how many of the newest slots a rebuild looks at for gaps.
const ledgerKept = 60

const remade = "made again from the manifests in the bucket"

// history makes the jobs, the results and the slots that the manifests tell of:
// those of copies. What failed left no manifest.
func (b *rebuild) history(ctx context.Context) error {
	jobs := map[string]*backup.Job{}
	var order []string
	var results []backup.Result
	type place struct{ job, slot, database string }
	taken := map[place]bool{}
	for _, c := range b.found.Copies { // sorted by key, and so by date
		m := c.Manifest
		if m.JobID == "" || m.Kind == backup.Safety { // a safety copy is made by a restore
			continue
		}
		job := jobs[m.JobID]
		if job == nil {
			job = b.jobOf(m)
			jobs[m.JobID] = job
			order = append(order, m.JobID)
		}
		if taken[place{job: m.JobID, database: m.DatabaseID}] {
			continue
		}
		taken[place{job: m.JobID, database: m.DatabaseID}] = true
		res := resultOf(m, job)
		if res.Slot != nil { // one success a database and slot
			at := place{slot: res.Slot.String(), database: m.DatabaseID}
			if taken[at] {
				res.ScheduleID, res.Slot = "", nil
			}
			taken[at] = true
		}
		results = append(results, res)
		widen(job, m)
	}
	list := make([]backup.Job, len(order))
	for i, id := range order {
		list[i] = *jobs[id]
	}
	if err := b.s.InsertHistory(ctx, list, results); err != nil {
		return err
	}
	b.out.Jobs = len(list)
	return b.ledger(ctx, list)
}

// jobOf begins the job that made a copy.
func (b *rebuild) jobOf(m *backup.Manifest) *backup.Job {
	job := &backup.Job{
		ID: m.JobID, Kind: backup.JobBackup, Trigger: m.Trigger, Status: backup.JobCompleted, Date: m.Date, CreatedAt: m.StartedAt,
	}
	if job.Trigger == "" {
		job.Trigger = backup.TriggerManual
	}
	if m.Kind != backup.Daily {
		return job
	}
	if slot, err := NextRun(b.nightly.Spec, m.Date.Time().Add(-time.Second)); err == nil && backup.DateOf(slot) == m.Date && !slot.After(b.now) {
		job.ScheduleID, job.Slot = b.nightly.ID, &slot
		if job.Trigger == backup.TriggerNightly {
			job.RequestedBy = "schedule " + b.nightly.ID
		}
	}
	return job
}

// widen adds a copy to its job.
func widen(job *backup.Job, m *backup.Manifest) {
	job.Totals.Databases++
	job.Totals.Succeeded++
	job.Totals.Bytes += m.Size
	job.Totals.Rows += m.Rows
	if m.StartedAt.Before(job.CreatedAt) {
		job.CreatedAt = m.StartedAt
	}
	if job.CompletedAt == nil || m.CompletedAt.After(*job.CompletedAt) {
		at := m.CompletedAt
		job.CompletedAt = &at
	}
	started := job.CreatedAt
	job.StartedAt = &started
	job.Transitions = []backup.Transition{
		{Status: backup.JobRunning, At: started, Reason: remade}, {Status: backup.JobCompleted, At: *job.CompletedAt, Reason: remade},
	}
}

func resultOf(m *backup.Manifest, job *backup.Job) backup.Result {
	id := m.ResultID
	if id == "" {
		id = uuid.NewSHA1(uuid.NameSpaceURL, []byte("result of "+m.CopyID)).String()
	}
	return backup.Result{
		ID: id, JobID: m.JobID, DatabaseID: m.DatabaseID, DatabaseName: m.DatabaseName, Status: backup.ResultSuccess,
		ScheduleID: job.ScheduleID, Slot: job.Slot, Date: m.Date, Attempt: 1, CreatedAt: m.StartedAt, StartedAt: &m.StartedAt,
		CompletedAt: &m.CompletedAt, Duration: m.CompletedAt.Sub(m.StartedAt), CopyID: m.CopyID, Key: m.Key, Size: m.Size,
		Tables: m.TableCount, Rows: m.Rows, Consistency: m.Consistency, Findings: m.Findings, Cost: m.Cost,
	}
}

// ledger fills the nightly's ledger of slots as far as the copies tell, so that
// what ran is not run again, and what is due since runs.
func (b *rebuild) ledger(ctx context.Context, jobs []backup.Job) error {
	done := map[int64]bool{}
	var slots []store.Slot
	for _, job := range jobs {
		if job.Slot == nil || done[job.Slot.Unix()] {
			continue
		}
		done[job.Slot.Unix()] = true
		slots = append(slots, store.Slot{
			ScheduleID: job.ScheduleID, Slot: *job.Slot, Status: store.SlotDone, JobID: job.ID, Reason: remade, CreatedAt: job.CreatedAt, EndedAt: job.CompletedAt,
		})
	}
	if len(slots) == 0 {
		return nil
	}
	slices.SortFunc(slots, func(a, b store.Slot) int { return a.Slot.Compare(b.Slot) })
	recent := slots[max(0, len(slots)-ledgerKept):]
	due, err := dueSlots(b.nightly.Spec, recent[0].Slot, recent[len(recent)-1].Slot)
	if err != nil {
		return err
	}
	for _, at := range due[max(0, len(due)-ledgerKept):] {
		if !done[at.Unix()] {
			slots = append(slots, store.Slot{
				ScheduleID: b.nightly.ID, Slot: at, Status: store.SlotSkipped, CreatedAt: b.now, EndedAt: &b.now,
				Reason: "no copy of it was in the bucket when the catalogue was made again",
			})
		}
	}
	if err := b.s.InsertSlots(ctx, slots); err != nil {
		return err
	}
	return b.s.CountSlotsFrom(ctx, b.nightly.ID, slots[0].Slot)
}
