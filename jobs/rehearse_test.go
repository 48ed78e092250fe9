package jobs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// TestProveOnDemand proves one copy that is proven already, again and by value;
// then one whose bytes were changed since.
func TestProveOnDemand(t *testing.T) {
	a := newPatientAccount(t, 20*time.Second)
	a.backUp()
	a.until("every copy is proven", func() bool { return a.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 3 })
	before := a.newest("fine")
	prove := func(copyID string, values bool) backup.Job {
		t.Helper()
		started := a.request(a.runner, backup.Request{Action: backup.ActionProve, CopyID: copyID, Values: values, Trigger: backup.TriggerAPI, Actor: "ci"})
		return a.ended(started.JobID)
	}
	job := prove(before.ID, false)
	if job.Status != backup.JobCompleted || job.Kind != backup.JobProve || job.Totals.Succeeded != 1 || job.Totals.Rows != before.Rows {
		t.Errorf("%+v", job)
	}
	after := a.newest("fine")
	if after.Proof != backup.ProofProven || !after.ProvenAt.After(*before.ProvenAt) {
		t.Errorf("proven at %v, then %v", before.ProvenAt, after.ProvenAt)
	}
	found, err := a.store.DrillResults(t.Context(), job.ID)
	if err != nil || len(found) != 1 || found[0].Role != backup.DrillAsked || !found[0].Passed || found[0].Source != backup.SourceNotAsked {
		t.Errorf("%+v, %v", found, err)
	}
	job = prove(before.ID, true)
	if found, err = a.store.DrillResults(t.Context(), job.ID); err != nil || len(found) != 1 || found[0].Source != backup.SourceEqual {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := a.store.Drill(t.Context(), job.ID); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("the proof of one copy passes for a drill: %v", err)
	}

	a.flip(before.Key)
	job = prove(before.ID, false)
	if job.Status != backup.JobFailed || job.Totals.Failed != 1 || job.Error == "" {
		t.Errorf("%+v", job)
	}
	c, err := a.store.Copy(t.Context(), before.ID)
	if err != nil || c.Proof != backup.ProofSuspect || !strings.Contains(job.Error, c.ProofError) {
		t.Errorf("%v: %s, %q", err, c.Proof, c.ProofError)
	}
	if a.told(backup.EventProofFailed) != 1 {
		t.Errorf("%d events", a.told(backup.EventProofFailed))
	}
	if list, err := a.store.DatabaseProofs(t.Context(), a.ids["fine"], 10); err != nil || len(list) != 3 || list[0].Passed {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := a.runner.Request(t.Context(), backup.Request{Action: backup.ActionProve, CopyID: uuidOf(99)}); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("a copy that is not there: %v", err)
	}
	if err := a.store.MarkDeleted(t.Context(), before.ID, a.runner.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.runner.Request(t.Context(), backup.Request{Action: backup.ActionProve, CopyID: before.ID}); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("a copy that is gone: %v", err)
	}
}
