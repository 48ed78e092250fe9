package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Standings tells how databases stand, by name: each with its newest copies,
// its suspect ones, and its last and its open result, in one round trip. Safety
// copies do not count as newest: they hold what was about to be replaced.
func (s *Store) Standings(ctx context.Context, f DatabaseFilter) ([]backup.Standing, error) {
	q := f.where()
	from := " FROM (SELECT id AS chosen FROM databases" + q.String() + ") d JOIN database_standing st ON st.database_id = chosen "
	var b pgx.Batch
	b.Queue("SELECT "+databaseColumns+" FROM databases"+q.String()+" ORDER BY name, gone_at DESC NULLS FIRST, id", q.args...)
	b.Queue("SELECT c.*"+from+"CROSS JOIN LATERAL (SELECT "+copyColumns+" FROM backup_inventory WHERE id = newest_id) c", q.args...)
	b.Queue("SELECT c.*"+from+"CROSS JOIN LATERAL (SELECT "+copyColumns+" FROM backup_inventory WHERE id = proven_id) c", q.args...)
	b.Queue("SELECT database_id::text, suspect"+from+"WHERE suspect > 0", q.args...)
	b.Queue("SELECT r.*"+from+"CROSS JOIN LATERAL (SELECT "+resultColumns+" FROM backup_results WHERE id = last_id) r", q.args...)
	b.Queue("SELECT DISTINCT ON (backup_results.database_id) "+resultColumns+` FROM backup_results
		WHERE status IN ('queued', 'running') AND database_id IN (SELECT id FROM databases`+q.String()+`)
		ORDER BY backup_results.database_id, created_at DESC`, q.args...)
	r := s.db.SendBatch(ctx, &b)
	list, err := readStandings(r)
	return list, wrapErr("read how the databases stand", errors.Join(err, r.Close()))
}

func readStandings(r pgx.BatchResults) ([]backup.Standing, error) {
	databases, err := standingRows(r, scanDatabase)
	if err != nil {
		return nil, err
	}
	list := make([]backup.Standing, len(databases))
	at := make(map[string]*backup.Standing, len(databases))
	for i, d := range databases {
		list[i].Database = d
		at[d.ID] = &list[i]
	}
	// An entry that came in between two of the statements is left for next time.
	of := func(id string) *backup.Standing {
		if s := at[id]; s != nil {
			return s
		}
		return new(backup.Standing)
	}
	newest, err := standingRows(r, scanCopy)
	for _, c := range newest {
		of(c.DatabaseID).Newest = &c
	}
	if err != nil {
		return nil, err
	}
	proven, err := standingRows(r, scanCopy)
	for _, c := range proven {
		of(c.DatabaseID).Proven = &c
	}
	if err != nil {
		return nil, err
	}
	rows, err := r.Query()
	if err != nil {
		return nil, err
	}
	var id string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		of(id).Suspect = n
		return nil
	}); err != nil {
		return nil, err
	}
	last, err := standingRows(r, scanResult)
	for _, res := range last {
		of(res.DatabaseID).Last = &res
	}
	if err != nil {
		return nil, err
	}
	open, err := standingRows(r, scanResult)
	for _, res := range open {
		of(res.DatabaseID).Open = &res
	}
	return list, err
}

func standingRows[T any](r pgx.BatchResults, scan pgx.RowToFunc[T]) ([]T, error) {
	rows, err := r.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// StandingOrder is how a list of databases is sorted.
type StandingOrder string

// The orders. Each ends with the name.
const (
	ByUrgency StandingOrder = "urgency" // what needs somebody first, of these the critical ones
	ByName    StandingOrder = "name"
	ByAge     StandingOrder = "age"  // without a copy first, then the oldest newest copy
	BySize    StandingOrder = "size" // the largest newest copy first
	ByRank    StandingOrder = "priority"
)

// StandingFilter chooses databases by how they stand; zero fields choose all
// that are in the account.
type StandingFilter struct {
	Now       time.Time     // as of when they are judged
	IDs       []string      // only these; nil: all
	GoneSince time.Time     // those too that went from the account since then; zero: none
	Name      string        // is part of their name, whatever its case
	States    []string      // any of proven, stored, attention, failed, unknown
	Order     StandingOrder // ByUrgency when ""
	Limit     int           // 50 when zero, at most 500
	Cursor    string        // the next of the answer before; "" for the first page
}

// states are the words for a database, the most urgent first. What they mean is
// said in SQL below and by package ui in Go; a test holds them together.
var states = []string{"failed", "attention", "unknown", "stored", "proven"}

// urgencySQL is the place in states of a database d with the standing st, at $1.
const urgencySQL = `CASE
	WHEN st.newest_at IS NULL THEN CASE WHEN st.last_status = 'failed' OR st.suspect > 0 THEN 0 ELSE 2 END
	WHEN d.gone_at IS NOT NULL THEN 1
	WHEN d.objective_seconds > 0 AND $1 - st.newest_at > make_interval(secs => d.objective_seconds) THEN CASE WHEN st.last_status = 'failed' THEN 0 ELSE 1 END
	WHEN st.last_status = 'failed' AND st.last_at > st.newest_at THEN 1
	WHEN st.suspect > 0 THEN 1
	WHEN st.proven_at IS NOT NULL AND (d.objective_seconds <= 0 OR $1 - st.proven_at <= make_interval(secs => d.objective_seconds)) THEN 4
	ELSE 3 END`

// orders are what a list is sorted by before the name: a number.
var orders = map[StandingOrder]string{
	ByUrgency: "urgency * 10 + rank",
	ByName:    "0",
	ByRank:    "rank",
	ByAge:     "coalesce(extract(epoch FROM newest_at) * 1000000, 0)::bigint",
	BySize:    "-coalesce(newest_size, 0)",
}

// from gives the databases that f chooses, each with its urgency and rank, and
// the arguments; the first is f.Now.
func (f StandingFilter) from() (string, []any) {
	q := where{args: []any{f.Now}}
	if f.GoneSince.IsZero() {
		q.add("d.gone_at IS NULL")
	} else {
		q.add("(d.gone_at IS NULL OR d.gone_at >= $?)", f.GoneSince)
	}
	if f.IDs != nil {
		q.add("d.id = ANY($?::uuid[])", f.IDs)
	}
	if f.Name != "" {
		q.add("position(lower($?) IN lower(d.name)) > 0", f.Name)
	}
	return `(SELECT d.id, d.name, d.gone_at, d.objective_seconds, d.paused, d.first_seen_at, d.last_seen_at, st.*, ` + urgencySQL + ` AS urgency,
		CASE d.priority WHEN 'critical' THEN 1 WHEN 'high' THEN 2 ELSE 3 END AS rank
		FROM databases d LEFT JOIN database_standing st ON st.database_id = d.id` + q.String() + ") x", q.args
}

// standingPlace is a place in a list of databases.
type standingPlace struct {
	Order StandingOrder `json:"o"`
	Key   int64         `json:"k"`
	Name  string        `json:"n"`
	ID    string        `json:"i"`
}

func (p standingPlace) cursor() string {
	b, _ := json.Marshal(p) // cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseStandingCursor(cursor string, order StandingOrder) (standingPlace, error) {
	var p standingPlace
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || !isUUID(p.ID) || p.Order != order || !storableText(p.Name) {
		return p, backup.Errorf(backup.ErrInvalid, "the cursor is not one of ours, or of another order")
	}
	return p, nil
}

// StandingPage gives one page of databases in the order that f asks for, and the
// cursor of the page after, "" when this is the last. Errors: ErrInvalid for an
// order that is none, or a cursor that is not ours.
func (s *Store) StandingPage(ctx context.Context, f StandingFilter) (list []backup.Standing, next string, err error) {
	if f.Order == "" {
		f.Order = ByUrgency
	}
	key, known := orders[f.Order]
	if !known {
		return nil, "", backup.Errorf(backup.ErrInvalid, "databases are sorted by urgency, name, age, size or priority")
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	from, args := f.from()
	q := where{args: args}
	if len(f.States) > 0 {
		places := []int{}
		for _, state := range f.States {
			places = append(places, slices.Index(states, state))
		}
		q.add("urgency = ANY($?)", places)
	}
	if f.Cursor != "" {
		p, err := parseStandingCursor(f.Cursor, f.Order)
		if err != nil {
			return nil, "", err
		}
		q.add("("+key+", name, id) > ($?, $?, $?::uuid)", p.Key, p.Name, p.ID)
	}
	rows, err := s.db.Query(ctx, "SELECT "+key+", name, id::text FROM "+from+q.String()+" ORDER BY 1, 2, x.id LIMIT "+strconv.Itoa(f.Limit+1), q.args...)
	if err != nil {
		return nil, "", wrapErr("list how the databases stand", err)
	}
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (standingPlace, error) {
		p := standingPlace{Order: f.Order}
		return p, row.Scan(&p.Key, &p.Name, &p.ID)
	})
	if err != nil || len(places) == 0 {
		return nil, "", wrapErr("list how the databases stand", err)
	}
	if len(places) > f.Limit {
		places = places[:f.Limit]
		next = places[f.Limit-1].cursor()
	}
	list, err = s.inPlaces(ctx, places)
	return list, next, err
}

// inPlaces reads the databases of a page, in its order.
func (s *Store) inPlaces(ctx context.Context, places []standingPlace) ([]backup.Standing, error) {
	ids, at := make([]string, len(places)), make(map[string]int, len(places))
	for i, p := range places {
		ids[i], at[p.ID] = p.ID, i
	}
	list, err := s.Standings(ctx, DatabaseFilter{Gone: true, IDs: ids})
	slices.SortFunc(list, func(a, b backup.Standing) int { return at[a.Database.ID] - at[b.Database.ID] })
	return list, err
}

// StandingSums says how databases stand together.
type StandingSums struct {
	States map[string]int // of all that were chosen, gone ones among them; every state is there

	// Of those that are in the account:
	Present      int
	Fresh        int            // with a copy no older than its objective
	Proven       int            // with a proven copy no older than it
	LastSeen     time.Time      // when the account was looked through last and had any of them
	Of           map[string]int // states; every state is there
	Oldest       time.Time      // when the oldest of the newest copies was taken; zero without any
	MinObjective time.Duration
	MaxObjective time.Duration
}

// StandingSums sums up how the databases stand that f chooses; of f counts what
// narrows, not Order, Limit and Cursor.
func (s *Store) StandingSums(ctx context.Context, f StandingFilter) (StandingSums, error) {
	from, args := f.from()
	t := StandingSums{States: map[string]int{}, Of: map[string]int{}}
	for _, state := range states {
		t.States[state], t.Of[state] = 0, 0
	}
	rows, err := s.db.Query(ctx, `SELECT urgency, gone_at IS NULL, count(*), count(*) FILTER (WHERE newest_at IS NOT NULL AND (objective_seconds <= 0 OR $1 - newest_at <= make_interval(secs => objective_seconds))),
			count(*) FILTER (WHERE proven_at IS NOT NULL AND (objective_seconds <= 0 OR $1 - proven_at <= make_interval(secs => objective_seconds))), max(last_seen_at),
			min(newest_at), min(objective_seconds), max(objective_seconds) FROM `+from+" GROUP BY 1, 2", args...)
	if err != nil {
		return t, wrapErr("sum up how the databases stand", err)
	}
	var urgency, n, fresh, proven int
	var seen time.Time
	var present bool
	var oldest *time.Time
	var least, most int64
	_, err = pgx.ForEachRow(rows, []any{&urgency, &present, &n, &fresh, &proven, &seen, &oldest, &least, &most}, func() error {
		t.States[states[urgency]] += n
		if !present {
			return nil
		}
		if a, b := time.Duration(least)*time.Second, time.Duration(most)*time.Second; t.Present == 0 {
			t.MinObjective, t.MaxObjective = a, b
		} else {
			t.MinObjective, t.MaxObjective = min(t.MinObjective, a), max(t.MaxObjective, b)
		}
		t.Present, t.Fresh, t.Proven = t.Present+n, t.Fresh+fresh, t.Proven+proven
		if seen.After(t.LastSeen) {
			t.LastSeen = seen
		}
		t.Of[states[urgency]] += n
		if oldest != nil && (t.Oldest.IsZero() || oldest.Before(t.Oldest)) {
			t.Oldest = *oldest
		}
		return nil
	})
	return t, wrapErr("sum up how the databases stand", err)
}
