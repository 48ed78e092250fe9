package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Delivery is one message to one channel, and how far it has come.
type Delivery struct {
	ID        string // UUIDv7; the message's own
	ChannelID string
	Class     string
	Event     backup.EventKind
	Title     string
	Status    DeliveryStatus
	CreatedAt time.Time
	Tries     int
	NextAt    *time.Time // of the next try, while it is pending
	EndedAt   *time.Time
	Error     string     // why the last try failed
	SeenAt    *time.Time // when a person saw that it is dead
}

// DeliveryStatus is the state of a delivery.
type DeliveryStatus string

// The states of a delivery.
const (
	DeliveryPending DeliveryStatus = "pending"
	DeliveryDone    DeliveryStatus = "delivered"
	DeliveryDead    DeliveryStatus = "dead" // given up
)

// Try is one try at a delivery.
type Try struct {
	N       int
	At      time.Time
	Took    time.Duration
	Status  int // of HTTP; 0 where nothing answered
	Request string
	Answer  string
	Error   string
}

const deliveryColumns = "id::text, channel_id::text, class, event, title, status, created_at, tries, next_at, ended_at, error, seen_at"

// alertLock is the advisory lock under which it is decided who is told.
const alertLock = 0x706174696e610005

// watchLock is the one under which it is looked for what is late.
const watchLock = 0x706174696e610004

// TryLockAlerts lets one transaction at a time decide who is told of what;
// false where another is at it.
func (s *Store) TryLockAlerts(ctx context.Context) (bool, error) { return s.tryLock(ctx, alertLock) }

// TryLockWatch lets one transaction at a time look for what is late; false
// where another is at it.
func (s *Store) TryLockWatch(ctx context.Context) (bool, error) { return s.tryLock(ctx, watchLock) }

func (s *Store) tryLock(ctx context.Context, key int64) (locked bool, err error) {
	err = s.db.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", key).Scan(&locked)
	return locked, wrapErr("take a lock", err)
}

// SomethingToTell tells whether an event waits for a decision, or for a message.
func (s *Store) SomethingToTell(ctx context.Context) (yes bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM events WHERE decided_at IS NULL)
		OR EXISTS (SELECT FROM event_channels WHERE delivery_id IS NULL)`).Scan(&yes)
	return yes, wrapErr("look for something to tell", err)
}

// Await lets an event wait for the next message of its class to a channel.
func (s *Store) Await(ctx context.Context, eventID, channelID, class string) error {
	_, err := s.db.Exec(ctx, "INSERT INTO event_channels (event_id, channel_id, class) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", eventID, channelID, class)
	return wrapErr("let an event wait", err)
}

// Queue is what a channel waits to be told, of one class.
type Queue struct {
	ChannelID, Class string
	Waiting          int
	Sent             []time.Time // when the last messages of the class were made, newest first
}

// Queues lists the channels that wait to be told something, with their messages
// since a time.
func (s *Store) Queues(ctx context.Context, since time.Time) ([]Queue, error) {
	rows, err := s.db.Query(ctx, `SELECT q.channel_id::text, q.class, q.n, coalesce(array_agg(d.created_at ORDER BY d.created_at DESC) FILTER (WHERE d.id IS NOT NULL), '{}')
		FROM (SELECT channel_id, class, count(*) AS n FROM event_channels WHERE delivery_id IS NULL GROUP BY channel_id, class) q
		LEFT JOIN deliveries d ON d.channel_id = q.channel_id AND d.class = q.class AND d.created_at >= $1
		GROUP BY q.channel_id, q.class, q.n ORDER BY q.channel_id, q.class`, since)
	if err != nil {
		return nil, wrapErr("list what waits to be told", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Queue])
	return out, wrapErr("list what waits to be told", err)
}

// Waiting lists the events that a channel waits to be told, oldest first.
func (s *Store) Waiting(ctx context.Context, channelID, class string) ([]backup.Event, error) {
	return s.events(ctx, `id IN (SELECT event_id FROM event_channels WHERE channel_id = $1 AND class = $2 AND delivery_id IS NULL)
		ORDER BY at, id LIMIT 10000`, channelID, class)
}

// InsertDelivery records a message, and which events it tells; none for a test.
func (s *Store) InsertDelivery(ctx context.Context, d Delivery, body []byte, events []string) error {
	_, err := s.db.Exec(ctx, `INSERT INTO deliveries (id, channel_id, class, event, title, body, status, created_at, next_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $7)`, d.ID, d.ChannelID, d.Class, d.Event, storable(d.Title), body, d.CreatedAt)
	if err == nil && len(events) > 0 {
		_, err = s.db.Exec(ctx, "UPDATE event_channels SET delivery_id = $1 WHERE channel_id = $2 AND event_id = ANY($3::uuid[])", d.ID, d.ChannelID, events)
	}
	return wrapErr("record a delivery", err)
}

// BeginTry takes a pending delivery for one try and gives its body. Errors:
// ErrFenced where nothing is left to do for it.
func (s *Store) BeginTry(ctx context.Context, id string) (d Delivery, body []byte, err error) {
	rows, err := s.db.Query(ctx, "UPDATE deliveries SET tries = tries + 1 WHERE id = $1 AND status = 'pending' RETURNING "+deliveryColumns, id)
	if err != nil {
		return d, nil, wrapErr("begin a delivery", err)
	}
	d, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Delivery])
	if errors.Is(err, pgx.ErrNoRows) {
		return d, nil, ErrFenced
	}
	if err == nil {
		err = s.db.QueryRow(ctx, "SELECT body FROM deliveries WHERE id = $1", id).Scan(&body)
	}
	return d, body, wrapErr("begin a delivery", err)
}

// EndTry records a try, and what it leaves the delivery at. Errors: ErrFenced,
// and nothing is recorded, where another try has begun since.
func (s *Store) EndTry(ctx context.Context, d Delivery, t Try) error {
	tag, err := s.db.Exec(ctx, `UPDATE deliveries SET status = $3, next_at = $4, ended_at = $5, error = $6, seen_at = $7
		WHERE id = $1 AND tries = $2 AND status = 'pending'`, d.ID, t.N, d.Status, d.NextAt, d.EndedAt, storable(t.Error), d.SeenAt)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrFenced
	}
	if err == nil {
		_, err = s.db.Exec(ctx, `INSERT INTO delivery_attempts (delivery_id, n, at, took_ms, http_status, request, answer, error)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
			d.ID, t.N, t.At, t.Took.Milliseconds(), t.Status, storable(t.Request), storable(t.Answer), storable(t.Error))
	}
	return wrapErr("record a try", err)
}

// LostDeliveries gives the pending deliveries that nothing in the queue will
// ever carry.
func (s *Store) LostDeliveries(ctx context.Context) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT id::text FROM deliveries d WHERE status = 'pending' AND NOT EXISTS (
		SELECT FROM river_job q WHERE q.kind = 'deliver' AND q.args ->> 'delivery_id' = d.id::text AND NOT `+lost+`) ORDER BY created_at LIMIT 1000`)
	if err != nil {
		return nil, wrapErr("list lost deliveries", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, wrapErr("list lost deliveries", err)
}

// Deliveries lists a channel's deliveries, newest first, at most limit.
func (s *Store) Deliveries(ctx context.Context, channelID string, limit int) ([]Delivery, error) {
	if !isUUID(channelID) {
		return nil, nil
	}
	return s.deliveries(ctx, "channel_id = $1 ORDER BY created_at DESC, id DESC LIMIT "+strconv.Itoa(limit), channelID)
}

// Undelivered lists what did not get through and nobody has seen: deliveries
// that were given up, or that failed more than tries times, newest first.
func (s *Store) Undelivered(ctx context.Context, tries, limit int) ([]Delivery, error) {
	return s.deliveries(ctx, `(status = 'dead' AND seen_at IS NULL OR status = 'pending' AND tries > $1)
		ORDER BY created_at DESC, id DESC LIMIT `+strconv.Itoa(limit), tries)
}

// Untold counts the events that should have been told and that nobody was
// there for, and that nobody has seen.
func (s *Store) Untold(ctx context.Context) (n int, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(*) FROM events WHERE outcome = 'nobody' AND seen_at IS NULL").Scan(&n)
	return n, wrapErr("count what nobody was told", err)
}

// SeeUndelivered records that a person saw what did not get through; what is
// still being tried is not among it.
func (s *Store) SeeUndelivered(ctx context.Context, at time.Time) error {
	return s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		_, err := s.db.Exec(ctx, "UPDATE deliveries SET seen_at = $1 WHERE status = 'dead' AND seen_at IS NULL", at)
		if err == nil {
			_, err = s.db.Exec(ctx, "UPDATE events SET seen_at = $1 WHERE outcome = 'nobody' AND seen_at IS NULL", at)
		}
		return wrapErr("mark as seen", err)
	})
}

func (s *Store) deliveries(ctx context.Context, condition string, args ...any) ([]Delivery, error) {
	rows, err := s.db.Query(ctx, "SELECT "+deliveryColumns+" FROM deliveries WHERE "+condition, args...)
	if err != nil {
		return nil, wrapErr("list deliveries", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
	return out, wrapErr("list deliveries", err)
}

// Tries lists the tries of deliveries, first to last, by delivery.
func (s *Store) Tries(ctx context.Context, deliveries []string) (map[string][]Try, error) {
	rows, err := s.db.Query(ctx, `SELECT delivery_id::text, n, at, took_ms, http_status, request, answer, error FROM delivery_attempts
		WHERE delivery_id = ANY($1::uuid[]) ORDER BY delivery_id, n`, deliveries)
	if err != nil {
		return nil, wrapErr("list tries", err)
	}
	out := map[string][]Try{}
	var id string
	var t Try
	var ms int64
	_, err = pgx.ForEachRow(rows, []any{&id, &t.N, &t.At, &ms, &t.Status, &t.Request, &t.Answer, &t.Error}, func() error {
		t.Took = time.Duration(ms) * time.Millisecond
		out[id] = append(out[id], t)
		return nil
	})
	return out, wrapErr("list tries", err)
}

// DeliveryCounts counts the deliveries by state.
func (s *Store) DeliveryCounts(ctx context.Context) (map[DeliveryStatus]int64, error) {
	rows, err := s.db.Query(ctx, "SELECT status, count(*) FROM deliveries GROUP BY status")
	if err != nil {
		return nil, wrapErr("count deliveries", err)
	}
	out := map[DeliveryStatus]int64{DeliveryPending: 0, DeliveryDone: 0, DeliveryDead: 0}
	var status DeliveryStatus
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&status, &n}, func() error {
		out[status] = n
		return nil
	})
	return out, wrapErr("count deliveries", err)
}

// ForgetDeliveries deletes deliveries that ended before a time.
func (s *Store) ForgetDeliveries(ctx context.Context, before time.Time) error {
	_, err := s.db.Exec(ctx, "DELETE FROM deliveries WHERE created_at < $1 AND status <> 'pending' AND (status = 'delivered' OR seen_at IS NOT NULL)", before)
	return wrapErr("forget old deliveries", err)
}
