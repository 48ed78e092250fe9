package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// metaKept is how many nights' settings stay in the bucket.
const metaKept = 90

// metaPatience is how long the settings of a night wait for its copies' proofs.
const metaPatience = time.Hour

type metaArgs struct {
	JobID string `json:"job_id"` // whose copies' proofs are waited for
}

// Kind names the work in River.
func (metaArgs) Kind() string { return "meta" }

type metaWorker struct {
	river.WorkerDefaults[metaArgs]
	r *Runner
}

// Work writes what Postgres alone knows into the bucket, once the proofs of the
// night have ended, or have taken too long.
func (w *metaWorker) Work(ctx context.Context, job *river.Job[metaArgs]) error {
	r := w.r
	ended, err := r.store.Job(ctx, job.Args.JobID)
	if err != nil && !errors.Is(err, backup.ErrNotFound) {
		return plain(err)
	}
	if at := ended.CompletedAt; at != nil && r.now().Sub(*at) < metaPatience {
		copies, _, err := r.store.Copies(ctx, store.CopyFilter{JobID: ended.ID, Proofs: []backup.ProofState{backup.ProofPending}, Limit: 1})
		if err != nil {
			return plain(err)
		}
		if len(copies) > 0 {
			return river.JobSnooze(r.cfg.Timing.Proofs)
		}
	}
	if _, err := r.SaveMeta(ctx); err != nil {
		r.log.Warn("the settings could not be written to the bucket, and will be tried again", "error", kindName(err))
		return plain(err)
	}
	return nil
}

// queueMeta has the settings written after a night, in the transaction that
// ends its job.
func (r *Runner) queueMeta(ctx context.Context, tx pgx.Tx, jobID string) error {
	if _, err := r.river.InsertTx(ctx, tx, metaArgs{jobID}, nil); err != nil {
		return fmt.Errorf("queue the settings after job %s: %w", jobID, err)
	}
	return nil
}

// SaveMeta writes what Postgres alone knows into the bucket, over what was
// written on the same date before, and gives the key. The newest 90 stay.
func (r *Runner) SaveMeta(ctx context.Context) (key string, err error) {
	now := r.now()
	m, err := r.store.Meta(ctx, now, r.cfg.Version)
	if err != nil {
		return "", err
	}
	text, err := m.Encode()
	if err != nil {
		return "", err
	}
	today := backup.DateOf(now)
	key = object.MetaKey(today)
	r.cfg.Hook("before:meta")
	if err := r.cfg.Bucket.Replace(ctx, key, text, "application/json"); err != nil {
		return "", fmt.Errorf("store %s: %w", key, err)
	}
	r.cfg.Hook("after:meta")
	r.log.Info("settings written", "key", key, "bytes", len(text))
	return key, r.forgetMeta(ctx, today)
}

// forgetMeta deletes the oldest settings beyond those that stay. What has
// another kind of key is not ours.
func (r *Runner) forgetMeta(ctx context.Context, today backup.Date) error {
	var dates []backup.Date
	for info, err := range r.cfg.Bucket.List(ctx, "meta/") {
		if err != nil {
			return fmt.Errorf("list the settings: %w", err)
		}
		if d, err := object.ParseMetaKey(info.Key); err == nil && d != today {
			dates = append(dates, d)
		}
	}
	slices.SortFunc(dates, func(a, b backup.Date) int { return b.Time().Compare(a.Time()) })
	for _, d := range dates[min(len(dates), metaKept-1):] {
		if err := r.cfg.Bucket.Delete(ctx, object.MetaKey(d)); err != nil {
			return fmt.Errorf("delete old settings: %w", err)
		}
	}
	return nil
}

// UnreadMeta is a night's settings that cannot be used, and why.
type UnreadMeta struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// LoadMeta gives the newest of these nights' settings that can be read, its key,
// and the newer ones that cannot; nil where there is none. One that a clock gone
// wrong has dated after tomorrow comes last.
func LoadMeta(ctx context.Context, b object.Bucket, dates []backup.Date, now time.Time) (m *store.Meta, key string, unread []UnreadMeta, err error) {
	tomorrow := backup.DateOf(now).AddDays(1).Time()
	dates = slices.Clone(dates)
	slices.SortFunc(dates, func(a, b backup.Date) int {
		if ahead := a.Time().After(tomorrow); ahead != b.Time().After(tomorrow) {
			if ahead {
				return 1
			}
			return -1
		}
		return b.Time().Compare(a.Time())
	})
	for _, d := range dates {
		key = object.MetaKey(d)
		m, err := readMeta(ctx, b, key)
		switch backup.Kind(err) {
		case nil:
			return m, key, unread, err
		case backup.ErrCorrupt, backup.ErrNotFound:
			unread = append(unread, UnreadMeta{key, err.Error()})
		default:
			return nil, key, unread, err
		}
	}
	return nil, "", unread, nil
}

func readMeta(ctx context.Context, b object.Bucket, key string) (*store.Meta, error) {
	r, err := b.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer r.Close()
	text := &bytes.Buffer{}
	if _, err := text.ReadFrom(r); err != nil { // the bucket's own failure is none of the file's
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return store.DecodeMeta(text)
}

// AuditHeads gives the heads of the audit log that the newest nights' settings
// kept, at most most of them, and when the newest of those was written. What
// was written up to since is left out, and what cannot be read is passed over.
func AuditHeads(ctx context.Context, b object.Bucket, since time.Time, most int) (heads []store.AuditHead, newest time.Time, err error) {
	var dates []backup.Date
	for info, err := range b.List(ctx, "meta/") {
		if err != nil {
			return nil, newest, fmt.Errorf("list the settings: %w", err)
		}
		if d, err := object.ParseMetaKey(info.Key); err == nil {
			dates = append(dates, d)
		}
	}
	slices.SortFunc(dates, func(a, b backup.Date) int { return b.Time().Compare(a.Time()) })
	for _, d := range dates[:min(len(dates), most)] {
		m, err := readMeta(ctx, b, object.MetaKey(d))
		switch backup.Kind(err) {
		case nil:
			if err != nil {
				return nil, newest, err
			}
		case backup.ErrCorrupt, backup.ErrNotFound:
			continue
		default:
			return nil, newest, err
		}
		if m.WrittenAt.After(newest) {
			newest = m.WrittenAt
		}
		if m.WrittenAt.After(since) {
			heads = append(heads, m.AuditHead)
		}
	}
	return heads, newest, nil
}
