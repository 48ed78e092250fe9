package jobs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/store"
)

// Rebuilt is what a rebuild made.
type Rebuilt struct {
	Unchanged   bool                      `json:"unchanged"`   // the catalogue said all of it already
	Copies      int                       `json:"copies"`      // listed
	Proven      int                       `json:"proven"`      // of them, as the settings remember
	Queued      int                       `json:"queued"`      // of them, to be proven anew
	Quarantined int                       `json:"quarantined"` // entered as damaged
	Archives    int                       `json:"archives"`
	Jobs        int                       `json:"jobs"`
	Databases   int                       `json:"databases"` // that only the copies knew
	Mended      int                       `json:"mended"`    // manifests written to the bucket
	Settings    map[string]store.MetaRows `json:"settings"`  // by table
}

// Rebuild makes the catalogue out of what a bucket holds and of what was
// written about it: databases, copies, archives, jobs and their results, slots,
// people, channels and settings. It happens whole or not at all. Retention is
// frozen until an admin says otherwise. m may be nil.
//
// Errors: ErrConflict where the catalogue holds copies already and differs; one
// that does not differ is left as it is.
func (r *Runner) Rebuild(ctx context.Context, found *catalogue.Found, m *store.Meta, actor string) (Rebuilt, error) {
	var out Rebuilt
	err := r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		b := &rebuild{r: r, tx: tx, s: s, found: found, meta: m, now: r.now(), actor: actor}
		if b.meta == nil {
			b.meta = &store.Meta{}
		}
		err := b.all(ctx)
		out = b.out
		return err
	})
	if err != nil {
		return Rebuilt{}, fmt.Errorf("rebuild the catalogue: %w", err)
	}
	r.cfg.Hook("after:rebuild.commit")
	return out, nil
}

// rebuild is one rebuild at work.
type rebuild struct {
	r     *Runner
	tx    pgx.Tx
	s     *store.Store
	found *catalogue.Found
	meta  *store.Meta
	now   time.Time
	actor string
	out   Rebuilt

	states  map[string]store.CopyState // by key and hash
	nightly store.Schedule
}

func (b *rebuild) all(ctx context.Context) error {
	b.recall()
	if err := b.s.HoldCatalogue(ctx); err != nil {
		return err
	}
	same, err := b.compare(ctx)
	if err != nil || same {
		b.out.Unchanged = same
		return err
	}
	b.r.cfg.Hook("before:rebuild.mend")
	if b.out.Mended, err = catalogue.Mend(ctx, b.r.cfg.Bucket, b.found); err != nil {
		return err
	}
	b.r.cfg.Hook("after:rebuild.mend")
	for _, step := range []func(context.Context) error{b.settings, b.databases, b.archives, b.copies, b.history, b.record} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	b.r.cfg.Hook("before:rebuild.commit")
	return nil
}

func stateKey(key, sha256 string) string { return sha256 + " " + key }

// recall finds what the settings say of each copy. One whose manifest was lost
// gets back the id that it had, and each what its proof found.
func (b *rebuild) recall() {
	b.states = make(map[string]store.CopyState, len(b.meta.Copies))
	for _, c := range b.meta.Copies {
		b.states[stateKey(c.Key, c.SHA256)] = c
	}
	for _, c := range b.found.Copies {
		state, ok := b.states[stateKey(c.Manifest.Key, c.Manifest.SHA256)]
		if !ok {
			continue
		}
		if c.Made && uuid.Validate(state.ID) == nil {
			c.Manifest.CopyID = state.ID
		}
		if len(state.Findings) > len(c.Manifest.Findings) {
			c.Manifest.Findings = state.Findings
		}
	}
}

// compare tells whether the catalogue says already what the bucket holds.
// Errors: ErrConflict where it says something else.
func (b *rebuild) compare(ctx context.Context) (same bool, err error) {
	listed, err := b.s.ListedCopies(ctx)
	if err != nil || len(listed) == 0 {
		return false, err
	}
	missing := 0
	for _, c := range b.found.Copies {
		if listed[c.Manifest.Key] != (store.ListedCopy{ID: c.Manifest.CopyID, SHA256: c.Manifest.SHA256}) {
			missing++
		}
		delete(listed, c.Manifest.Key)
	}
	for _, d := range b.found.Damaged { // entered as damaged, or listed before it was
		if d.Manifest != nil {
			delete(listed, d.Manifest.Key)
		}
	}
	if missing == 0 && len(listed) == 0 {
		return true, nil
	}
	return false, &backup.Error{
		Kind:    backup.ErrConflict,
		Message: fmt.Sprintf("the catalogue holds copies already, and is not what the bucket says: %d copies of the bucket are not in it, and %d of its copies are not in the bucket; nothing was changed", missing, len(listed)),
		Next:    "A rebuild makes a whole catalogue, and goes into an empty Postgres: name a new database in DATABASE_URL. patina rebuild --dry-run shows what the bucket holds.",
	}
}

// settings brings back what Postgres alone knew.
func (b *rebuild) settings(ctx context.Context) (err error) {
	if b.out.Settings, err = b.s.RestoreMeta(ctx, b.meta, b.now); err != nil {
		return err
	}
	all, err := b.s.Schedules(ctx)
	if err != nil {
		return err
	}
	b.nightly = store.Schedule{ID: NightlySchedule, Kind: kindBackup, Spec: b.r.cfg.Nightly, CreatedAt: b.now}
	if i := slices.IndexFunc(all, func(s store.Schedule) bool { return s.ID == NightlySchedule }); i >= 0 {
		b.nightly = all[i]
		return nil
	}
	_, err = b.s.PutSchedule(ctx, b.nightly)
	return err
}

// databases enters those that only the copies know. Of two that had one name the
// one that was seen last has it.
func (b *rebuild) databases(ctx context.Context) error {
	known, err := b.s.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return err
	}
	have, taken := map[string]bool{}, map[string]bool{}
	for _, db := range known {
		have[db.ID] = true
		taken[db.Name] = taken[db.Name] || db.GoneAt == nil
	}
	unknown := map[string]backup.Database{}
	for _, c := range b.found.Copies {
		m := c.Manifest
		if have[m.DatabaseID] {
			continue
		}
		db, ok := unknown[m.DatabaseID]
		if !ok {
			db = backup.Database{ID: m.DatabaseID, FirstSeenAt: m.StartedAt}
		}
		if m.StartedAt.Before(db.FirstSeenAt) {
			db.FirstSeenAt = m.StartedAt
		}
		if !m.StartedAt.Before(db.LastSeenAt) {
			db.LastSeenAt, db.Name, db.EstimatedSize = m.StartedAt, m.DatabaseName, m.SQLSize
		}
		unknown[m.DatabaseID] = db
	}
	list := slices.SortedFunc(maps.Values(unknown), func(a, b backup.Database) int {
		return cmp.Or(b.LastSeenAt.Compare(a.LastSeenAt), cmp.Compare(a.ID, b.ID))
	})
	for _, db := range list {
		if taken[db.Name] {
			db.GoneAt = &db.LastSeenAt
		}
		taken[db.Name] = true
		if err := b.s.UpsertDatabase(ctx, db); err != nil {
			return err
		}
	}
	b.out.Databases = len(list)
	return nil
}

// archives enters the weekly archives whose contents are known.
func (b *rebuild) archives(ctx context.Context) error {
	for _, a := range b.found.Archives {
		m := a.Manifest
		if m == nil {
			continue
		}
		entry := backup.Archive{
			Week: m.Week, Key: m.Key, Size: m.Size, SHA256: m.SHA256, From: m.From, To: m.To, Members: len(m.Members), Missing: m.Missing,
			CreatedAt: a.StoredAt, VerifiedAt: a.StoredAt,
		}
		if err := b.s.RecordArchive(ctx, entry, nil); err != nil {
			return err
		}
		b.out.Archives++
	}
	return nil
}

// copies lists what is whole, and enters what is damaged into quarantine. What
// the settings do not call proven is proven anew, the newest first.
func (b *rebuild) copies(ctx context.Context) error {
	list := slices.SortedFunc(slices.Values(b.found.Copies), func(a, b catalogue.Copy) int {
		return cmp.Or(b.Manifest.StartedAt.Compare(a.Manifest.StartedAt), cmp.Compare(a.Manifest.Key, b.Manifest.Key))
	})
	there := map[string]bool{}
	for _, c := range list {
		there[c.Manifest.Key], there[c.Manifest.CopyID] = true, true
		entry := b.entry(c)
		id, err := b.s.RecordCopy(ctx, entry)
		if err != nil {
			return err
		}
		b.out.Copies++
		switch {
		case entry.Proof == backup.ProofProven:
			b.out.Proven++
		case entry.Proof == backup.ProofPending && entry.QuarantinedAt == nil:
			b.out.Queued++
			if err := b.r.proveLater(ctx, b.tx, id); err != nil {
				return err
			}
		}
	}
	for _, d := range b.found.Damaged {
		if d.Mended || d.Manifest == nil || d.Key != d.Manifest.Key || there[d.Manifest.Key] || there[d.Manifest.CopyID] {
			continue
		}
		there[d.Manifest.Key], there[d.Manifest.CopyID] = true, true
		entry := b.entry(catalogue.Copy{Manifest: d.Manifest})
		entry.Proof, entry.ProvenAt, entry.ProofError, entry.QuarantinedAt = backup.ProofSuspect, nil, d.Reason, &b.now
		if _, err := b.s.RecordCopy(ctx, entry); err != nil {
			return err
		}
		b.out.Quarantined++
	}
	return b.faults(ctx)
}

// faults says which archives are damaged; what of them is whole stays readable.
func (b *rebuild) faults(ctx context.Context) error {
	for _, a := range b.found.Archives {
		if a.Fault == "" || a.Manifest == nil {
			continue
		}
		if err := b.s.QuarantineArchive(ctx, a.Manifest.Week, nil, b.now, a.Fault); err != nil {
			return err
		}
	}
	return nil
}

// entry makes the catalogue's entry of a copy, with what the settings know of it.
func (b *rebuild) entry(c catalogue.Copy) backup.Copy {
	m := c.Manifest
	e := copyOf(m, m.CompletedAt)
	e.Archived, e.ObjectGone = c.Archived, c.ObjectGone
	if state, ok := b.states[stateKey(m.Key, m.SHA256)]; ok && state.ID == m.CopyID {
		e.Proof, e.ProvenAt, e.ProofError = state.Proof, state.ProvenAt, state.ProofError
		e.Pinned, e.QuarantinedAt = state.Pinned, state.QuarantinedAt
		e.CreatedAt, e.ExpiresAt, e.ExpiresReason = state.CreatedAt, state.ExpiresAt, state.ExpiresReason
	}
	return e
}

// record writes to the audit log that the catalogue is a new one, and freezes
// retention.
func (b *rebuild) record(ctx context.Context) error {
	reason := fmt.Sprintf("The catalogue was made again from the bucket on %s, by %s.", b.now.Format("2006-01-02 at 15:04 UTC"), b.actor)
	if err := b.s.FreezeRetention(ctx, reason, b.now); err != nil {
		return err
	}
	before := "no settings were found"
	if !b.meta.WrittenAt.IsZero() {
		before = fmt.Sprintf("with the settings of %s; the audit log before ended at entry %d, %s", b.meta.WrittenAt.Format(time.RFC3339), b.meta.AuditHead.ID, b.meta.AuditHead.Hash)
	}
	_, err := b.s.AppendAudit(ctx, store.AuditEntry{
		At: b.now, Actor: b.actor, Action: store.RebuildAction, Target: b.found.Bucket,
		Outcome: fmt.Sprintf("%d copies", b.out.Copies), Reason: before,
	})
	return err
}
