package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// How long a reader that fell silent keeps what it read from being deleted, and
// how often one that lives renews its time.
const (
	readerLease = time.Minute
	readerBeat  = 15 * time.Second
)

// Reading keeps a copy's bytes, wherever they lie, from being deleted until
// release is called, and says so in one transaction: either the reader is there
// first, and the copy stays, or the deletion was, and the answer is ErrNotFound.
// A process that dies lets go after a minute at most. Release may be called
// more than once, and whatever became of the context.
func (s *Store) Reading(ctx context.Context, copyID string) (release func(), err error) {
	return s.ReadingFor(ctx, "it is being read", copyID)
}

// ReadingFor is Reading for any number of copies at once, all or none, and says
// to whoever would delete one what is being done with it.
func (s *Store) ReadingFor(ctx context.Context, doing string, copyIDs ...string) (release func(), err error) {
	if len(copyIDs) == 0 {
		return func() {}, nil
	}
	for _, id := range copyIDs {
		if !isUUID(id) {
			return nil, backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
		}
	}
	return s.read(ctx, doing, copyIDs, `SELECT count(*) FROM (
		SELECT FROM backup_inventory WHERE id = ANY($1::uuid[]) AND deleted_at IS NULL ORDER BY id FOR SHARE) c`)
}

// ReadingArchive is Reading for the whole of a week's archive.
func (s *Store) ReadingArchive(ctx context.Context, doing, week string) (release func(), err error) {
	return s.read(ctx, doing, []string{week}, `SELECT count(*) FROM (
		SELECT FROM archives WHERE week = ANY($1) AND deleted_at IS NULL FOR SHARE) a`)
}

// read enters readers of what lock counts as there.
func (s *Store) read(ctx context.Context, doing string, what []string, lock string) (func(), error) {
	what = slices.Compact(slices.Sorted(slices.Values(what)))
	ids := make([]string, len(what))
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7()).String()
	}
	pool := New(s.pool) // a reader outlives the transaction that it was begun in
	err := pool.InTx(ctx, func(tx pgx.Tx, _ *Store) error {
		var n int
		if err := tx.QueryRow(ctx, lock, what).Scan(&n); err != nil {
			return err
		}
		if n != len(what) {
			return &backup.Error{Kind: backup.ErrNotFound, Message: "the backup has been deleted", Next: "Choose another copy of this database."}
		}
		_, err := tx.Exec(ctx, `INSERT INTO readers (id, what, doing, until)
			SELECT r.id, r.what, $3, clock_timestamp() + $4::interval FROM unnest($1::uuid[], $2::text[]) AS r(id, what)`,
			ids, what, storable(doing), readerLease)
		return err
	})
	if err != nil {
		return nil, wrapErr("begin to read", err)
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go pool.renew(renewing, ids, ended)
	var once sync.Once
	return func() {
		once.Do(func() {
			stop()
			<-ended
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			// Where this fails the lease runs out by itself.
			_, _ = pool.db.Exec(last, "DELETE FROM readers WHERE id = ANY($1::uuid[])", ids)
		})
	}, nil
}

// renew keeps readers alive until the context ends.
func (s *Store) renew(ctx context.Context, ids []string, ended chan<- struct{}) {
	defer close(ended)
	t := time.NewTicker(readerBeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// One that fails is made up for by the next.
		_, _ = s.db.Exec(ctx, "UPDATE readers SET until = clock_timestamp() + $2::interval WHERE id = ANY($1::uuid[])", ids, readerLease)
	}
}

// Readers tells what is being read now: by a copy's id, or an archive's week,
// what is done with it.
func (s *Store) Readers(ctx context.Context) (map[string]string, error) {
	rows, err := s.db.Query(ctx, `SELECT what, doing FROM readers WHERE until > clock_timestamp()
		UNION ALL SELECT copy_id::text, 'a restore' FROM `+openRestores)
	if err != nil {
		return nil, wrapErr("list readers", err)
	}
	reading := map[string]string{}
	var what, doing string
	_, err = pgx.ForEachRow(rows, []any{&what, &doing}, func() error {
		reading[what] = doing
		return nil
	})
	return reading, wrapErr("list readers", err)
}

// openRestores are the restores that read a copy, or will: one that died reads on
// when it is taken up again.
const openRestores = "restores JOIN backup_jobs j USING (id) WHERE copy_id IS NOT NULL AND j.status IN ('queued', 'running')"

// ForgetReaders removes those that have run out.
func (s *Store) ForgetReaders(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "DELETE FROM readers WHERE until <= clock_timestamp() - $1::interval", readerLease)
	return wrapErr("forget readers that died", err)
}
