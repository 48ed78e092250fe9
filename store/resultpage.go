package store

import (
	"context"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// ResultFilter chooses results of one job.
type ResultFilter struct {
	JobID       string
	DatabaseIDs []string // of these databases only; nil: of all
	Status      backup.ResultStatus
	Urgent      bool   // running and failed ones first; otherwise critical databases first
	Limit       int    // 100 when zero, at most 500
	Cursor      string // the next of the answer before; "" for the first page
}

const (
	// resultRank orders by the priority of the database as it is now.
	resultRank = "CASE d.priority WHEN 'critical' THEN 1 WHEN 'high' THEN 2 ELSE 3 END"
	// resultUrgency orders by what somebody who looks at a job looks for.
	resultUrgency = "CASE r.status WHEN 'failed' THEN 0 WHEN 'running' THEN 1 WHEN 'queued' THEN 2 WHEN 'skipped' THEN 3 ELSE 4 END"
)

func (f ResultFilter) where() where {
	var q where
	q.add("r.job_id = $?", f.JobID)
	if f.DatabaseIDs != nil {
		q.add("r.database_id = ANY($?::uuid[])", f.DatabaseIDs)
	}
	if f.Status != "" {
		q.add("r.status = $?", f.Status)
	}
	return q
}

// ResultPage gives one page of a job's results, and the cursor of the page
// after, "" when this is the last. Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) ResultPage(ctx context.Context, f ResultFilter) (list []backup.Result, next string, err error) {
	if !isUUID(f.JobID) {
		return nil, "", nil
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 500)
	q, key, order := f.where(), resultRank, ByRank
	if f.Urgent {
		key, order = resultUrgency+" * 10 + "+resultRank, ByUrgency
	}
	if f.Cursor != "" {
		p, err := parseStandingCursor(f.Cursor, order)
		if err != nil {
			return nil, "", err
		}
		q.add("("+key+", r.database_name, r.id) > ($?, $?, $?::uuid)", p.Key, p.Name, p.ID)
	}
	rows, err := s.db.Query(ctx, "SELECT "+key+", r.database_name, r.id::text FROM backup_results r LEFT JOIN databases d ON d.id = r.database_id"+q.String()+
		" ORDER BY 1, 2, r.id LIMIT "+strconv.Itoa(limit+1), q.args...)
	if err != nil {
		return nil, "", wrapErr("list results", err)
	}
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (standingPlace, error) {
		p := standingPlace{Order: order}
		return p, row.Scan(&p.Key, &p.Name, &p.ID)
	})
	if err != nil || len(places) == 0 {
		return nil, "", wrapErr("list results", err)
	}
	if len(places) > limit {
		places = places[:limit]
		next = places[limit-1].cursor()
	}
	ids, at := make([]string, len(places)), make(map[string]int, len(places))
	for i, p := range places {
		ids[i], at[p.ID] = p.ID, i
	}
	list, err = s.results(ctx, "id = ANY($1::uuid[])", ids)
	slices.SortFunc(list, func(a, b backup.Result) int { return at[a.ID] - at[b.ID] })
	return list, next, err
}

// ResultSums adds up the results of a job that f chooses, whichever page: what is
// stored, and of those that run how far they have come.
func (s *Store) ResultSums(ctx context.Context, f ResultFilter) (t backup.Totals, err error) {
	if !isUUID(f.JobID) {
		return t, nil
	}
	q := f.where()
	err = s.db.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'skipped'),
			coalesce(sum(CASE status WHEN 'success' THEN size_bytes WHEN 'running' THEN progress_bytes END), 0)::bigint,
			coalesce(sum(CASE status WHEN 'success' THEN row_count WHEN 'running' THEN progress_rows END), 0)::bigint
		FROM backup_results r`+q.String(), q.args...).Scan(&t.Databases, &t.Succeeded, &t.Failed, &t.Skipped, &t.Bytes, &t.Rows)
	return t, wrapErr("add up results", err)
}

// ProofsOf gives the proof of copies, by UUID; one that is not known is missing.
func (s *Store) ProofsOf(ctx context.Context, copyIDs []string) (map[string]backup.ProofState, error) {
	out := map[string]backup.ProofState{}
	if len(copyIDs) == 0 {
		return out, nil
	}
	rows, err := s.db.Query(ctx, "SELECT id::text, proof FROM backup_inventory WHERE id = ANY($1::uuid[])", copyIDs)
	if err != nil {
		return nil, wrapErr("read proofs", err)
	}
	var id string
	var proof backup.ProofState
	_, err = pgx.ForEachRow(rows, []any{&id, &proof}, func() error {
		out[id] = proof
		return nil
	})
	return out, wrapErr("read proofs", err)
}
