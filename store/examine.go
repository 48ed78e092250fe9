package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// OldestPostgres is the oldest major version that this program is made for.
const OldestPostgres = 14

// Examination is what a look at Postgres found, for people who set it up.
type Examination struct {
	Version  string // as it calls itself: "17.2 (Debian …)"
	Major    int
	Clock    time.Time // its own
	ReadOnly bool      // a standby, or a role that may not write
	Creates  bool      // may make tables, as migrations do
	Denied   []string  // tables of ours that the role may not read and write
	Notifies bool      // what one connection tells reaches another: not so through a transaction pooler
}

// notifyWait is how long a note from one connection to another may take.
const notifyWait = 5 * time.Second

// Examine looks at the version of Postgres, at the rights of the role and at
// the way there. It changes nothing.
func (s *Store) Examine(ctx context.Context) (Examination, error) {
	var e Examination
	var number int
	err := s.db.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int, clock_timestamp(),
			pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
			coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
			coalesce(array(SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
				AND NOT has_table_privilege(oid, 'SELECT') OR relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
				AND relname <> 'audit_log' AND NOT (has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
				ORDER BY relname), '{}')`).
		Scan(&e.Version, &number, &e.Clock, &e.ReadOnly, &e.Creates, &e.Denied)
	if err != nil {
		return e, wrapErr("examine Postgres", err)
	}
	e.Major = number / 10_000
	e.Notifies, err = s.notifies(ctx)
	return e, wrapErr("examine Postgres", err)
}

// notifies tells whether a note from one connection reaches another, as the
// queue needs it.
func (s *Store) notifies(ctx context.Context) (bool, error) {
	listener, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() { _ = listener.Close(context.WithoutCancel(ctx)) }()
	channel := pgx.Identifier{"patina_" + uuid.NewString()}.Sanitize()
	if _, err := listener.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	if _, err := s.db.Exec(ctx, "NOTIFY "+channel); err != nil {
		return false, err
	}
	bounded, cancel := context.WithTimeout(ctx, notifyWait)
	defer cancel()
	if _, err := listener.WaitForNotification(bounded); err != nil {
		return false, ctx.Err()
	}
	return true, nil
}
