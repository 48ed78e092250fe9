package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// DrillFilter chooses what was found in one drill.
type DrillFilter struct {
	DatabaseIDs []string // of these databases only; nil: of all
	Limit       int      // 100 when zero, at most 500
	Cursor      string   // the next of the answer before; "" for the first page
}

// DrillSums adds up what was found in a drill.
type DrillSums struct {
	Databases       int
	DatabasesFailed int // with a copy that did not restore
	Copies, Failed  int
	Bytes, Rows     int64         // of what restored
	NewestBytes     int64         // of the newest copies that restored
	Checked         time.Duration // what checking these and dumping them again took
	Newest          time.Duration // what restoring the newest copies took, one after another
	Slowest         time.Duration // the longest of these
	SlowestName     string        // and its database; "" where none restored
}

// drillPlace is a place in the list of what was found.
type drillPlace struct {
	Passed bool             `json:"p"`
	Name   string           `json:"n"`
	ID     string           `json:"i"`
	Role   backup.DrillRole `json:"r"`
}

func (f DrillFilter) where(jobID string) where {
	var q where
	q.add("job_id = $?", jobID)
	if f.DatabaseIDs != nil {
		q.add("database_id = ANY($?::uuid[])", f.DatabaseIDs)
	}
	return q
}

// DrillHead gives one drill without what was found. Errors: ErrNotFound.
func (s *Store) DrillHead(ctx context.Context, id string) (backup.Drill, error) {
	if isUUID(id) {
		list, err := s.drills(ctx, "WHERE d.id = $1", id)
		if err != nil {
			return backup.Drill{}, err
		}
		if len(list) == 1 {
			return list[0], nil
		}
	}
	return backup.Drill{}, backup.Errorf(backup.ErrNotFound, "there is no drill %q", id)
}

// DrillSums adds up what was found in a drill, whichever page.
func (s *Store) DrillSums(ctx context.Context, id string, f DrillFilter) (t DrillSums, err error) {
	q := f.where(id)
	var all, checked, slowest int64
	err = s.db.QueryRow(ctx, `SELECT count(DISTINCT database_id), count(DISTINCT database_id) FILTER (WHERE NOT passed), count(*), count(*) FILTER (WHERE NOT passed),
			coalesce(sum(size_bytes) FILTER (WHERE passed), 0)::bigint, coalesce(sum(row_count) FILTER (WHERE passed), 0)::bigint,
			coalesce(sum(load_us) FILTER (WHERE passed AND role = 'newest'), 0)::bigint, coalesce(sum(check_us + again_us) FILTER (WHERE passed AND role = 'newest'), 0)::bigint,
			coalesce(sum(size_bytes) FILTER (WHERE passed AND role = 'newest'), 0)::bigint
		FROM drill_results`+q.String(), q.args...).Scan(&t.Databases, &t.DatabasesFailed, &t.Copies, &t.Failed, &t.Bytes, &t.Rows, &all, &checked, &t.NewestBytes)
	if err != nil {
		return t, wrapErr("add up drill "+id, err)
	}
	q.add("passed AND role = 'newest'")
	err = s.db.QueryRow(ctx, "SELECT database_name, load_us FROM drill_results"+q.String()+" ORDER BY load_us DESC, database_name LIMIT 1", q.args...).Scan(&t.SlowestName, &slowest)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	t.Checked = time.Duration(checked) * time.Microsecond
	t.Newest, t.Slowest = time.Duration(all)*time.Microsecond, time.Duration(slowest)*time.Microsecond
	return t, wrapErr("add up drill "+id, err)
}

// DrillPage gives one page of what was found in a drill, what did not restore
// first, then by database, and the cursor of the page after, "" when this is the
// last. Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) DrillPage(ctx context.Context, id string, f DrillFilter) (list []backup.DrillResult, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 500)
	q := f.where(id)
	if f.Cursor != "" {
		var p drillPlace
		b, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		if err == nil {
			err = json.Unmarshal(b, &p)
		}
		if err != nil || !isUUID(p.ID) || !storableText(p.Name) || !storableText(string(p.Role)) {
			return nil, "", backup.Errorf(backup.ErrInvalid, "the cursor is not one of ours")
		}
		q.add("(passed, database_name, database_id, role) > ($?, $?, $?::uuid, $?)", p.Passed, p.Name, p.ID, p.Role)
	}
	// The columns, not the texts of them that are selected.
	list, err = s.drillResults(ctx, q.String()[len(" WHERE "):]+" ORDER BY passed, database_name, drill_results.database_id, role LIMIT "+strconv.Itoa(limit+1), q.args...)
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		b, _ := json.Marshal(drillPlace{last.Passed, last.DatabaseName, last.DatabaseID, last.Role}) // cannot fail
		next = base64.RawURLEncoding.EncodeToString(b)
	}
	return list, next, err
}
