// Package history is what ran and what runs: the list of jobs, one job with
// its live progress, and the requests to start, cancel and retry one.
//
// It asks for work through Requester and does none itself; what became of a
// job it reads from the store.
package history

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Requester starts, cancels and retries jobs.
type Requester interface {
	Request(ctx context.Context, req backup.Request) (backup.Started, error)
}

// Handler serves the section.
type Handler struct {
	Store    *store.Store
	Requests Requester
	Auth     *auth.Service
	Clock    func() time.Time
	Streams  *Streams
}

// load gives a job and those of its results that whoever asks may see.
func (h *Handler) load(ctx context.Context, who *auth.Actor, id string) (backup.Job, []backup.Result, error) {
	missing := backup.Errorf(backup.ErrNotFound, "There is no job %s.", ui.Name(id))
	job, err := h.Store.Job(ctx, id)
	if errors.Is(err, backup.ErrNotFound) {
		return job, nil, missing
	}
	if err != nil {
		return job, nil, err
	}
	results, err := h.Store.JobResults(ctx, id)
	if err != nil {
		return job, nil, err
	}
	visible := visible(who, results)
	if len(visible) == 0 && (len(results) > 0 || who.Databases != nil) {
		if ok, err := h.concerns(ctx, who, job, results); err != nil || !ok {
			return job, nil, cmp.Or(err, missing)
		}
	}
	if len(visible) < len(results) {
		restrict(&job, visible)
	}
	return job, visible, nil
}

// concerns tells whether a job without results, which is one piece of work, is
// about nothing but what a restricted token may see.
func (h *Handler) concerns(ctx context.Context, who *auth.Actor, job backup.Job, results []backup.Result) (bool, error) {
	if len(results) > 0 {
		return false, nil
	}
	switch job.Kind {
	case backup.JobRestore:
		rs, err := h.Store.Restore(ctx, job.ID)
		return err == nil && (who.Sees(rs.DatabaseID) || who.Sees(rs.TargetID)), err
	case backup.JobProve:
		if _, err := h.Store.Drill(ctx, job.ID); !errors.Is(err, backup.ErrNotFound) {
			return false, err // its own page shows what may be seen of it
		}
		list, err := h.Store.DrillResults(ctx, job.ID)
		hidden := slices.ContainsFunc(list, func(r backup.DrillResult) bool { return !who.Sees(r.DatabaseID) })
		return !hidden && (len(list) > 0 || job.RequestedBy == who.Name), err
	}
	return false, nil
}

// visible keeps the results that whoever asks may see; never nil.
func visible(who *auth.Actor, results []backup.Result) []backup.Result {
	out := make([]backup.Result, 0, len(results))
	for _, r := range results {
		if who.Sees(r.DatabaseID) {
			out = append(out, r)
		}
	}
	return out
}

// restrict makes a job's sums those of the results that are shown.
func restrict(job *backup.Job, results []backup.Result) {
	open := *job
	open.Status = backup.JobRunning
	job.Totals = ui.TotalsOf(open, results)
	job.Error = ""
}

// Show is GET /jobs/:id.
func (h *Handler) Show(c echo.Context) error {
	who := auth.Of(c)
	job, results, err := h.load(c.Request().Context(), who, c.Param("id"))
	if err != nil {
		return err
	}
	proofs, err := h.proofs(c.Request().Context(), results)
	if err != nil {
		return err
	}
	if at, err := h.elsewhere(c.Request().Context(), job); err != nil {
		return err
	} else if at != "" && ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, at)
	}
	now := h.Clock()
	m := view(job, results, now, who.Who())
	if err := h.addProof(c.Request().Context(), job, &m); err != nil {
		return err
	}
	p := auth.Chrome(c, m.Title, "history")
	if m.Open {
		p.Refresh = 3
	}
	return ui.Write(c, ui.Answer{JSON: ui.JobOf(job, results, proofs, now), Page: page(p, m), Part: polled(m)})
}

// elsewhere gives the page that tells more of a job than this section's; "" for
// none.
func (h *Handler) elsewhere(ctx context.Context, job backup.Job) (string, error) {
	switch job.Kind {
	case backup.JobRestore:
		return "/restores/" + job.ID, nil
	case backup.JobProve:
		_, err := h.Store.Drill(ctx, job.ID)
		if errors.Is(err, backup.ErrNotFound) {
			return "", nil
		}
		return "/drills/" + job.ID, err
	}
	return "", nil
}

// addProof adds what a job that proves one copy has found.
func (h *Handler) addProof(ctx context.Context, job backup.Job, m *model) error {
	if job.Kind != backup.JobProve {
		return nil
	}
	list, err := h.Store.DrillResults(ctx, job.ID)
	if len(list) == 1 {
		m.Proof = found(list[0])
	}
	return err
}

// proofs gives the proof of each copy that the results made.
func (h *Handler) proofs(ctx context.Context, results []backup.Result) (map[string]backup.ProofState, error) {
	proofs := map[string]backup.ProofState{}
	if len(results) == 0 {
		return proofs, nil
	}
	f := store.CopyFilter{JobID: results[0].JobID, Quarantined: true, Deleted: true, Limit: 1000}
	for {
		copies, next, err := h.Store.Copies(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, c := range copies {
			proofs[c.ID] = c.Proof
		}
		if f.Cursor = next; next == "" {
			return proofs, nil
		}
	}
}

// List is GET /jobs.
func (h *Handler) List(c echo.Context) error {
	who, now := auth.Of(c), h.Clock()
	f, err := filterOf(c.QueryParams())
	if err != nil {
		return err
	}
	jobs, next, err := h.Store.Jobs(c.Request().Context(), f)
	if err != nil {
		return err
	}
	if who.Databases != nil {
		if jobs, err = h.restrictAll(c.Request().Context(), who, jobs); err != nil {
			return err
		}
	}
	list := make([]ui.Job, 0, len(jobs))
	for _, j := range jobs {
		list = append(list, ui.JobOf(j, nil, nil, now))
	}
	m := viewList(jobs, c.QueryParams(), next, now)
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"jobs": list, "next_cursor": next},
		Page: listPage(auth.Chrome(c, "Jobs", "history"), m), Part: listPart(m),
	})
}

// restrictAll keeps the jobs of which a restricted token may see something.
func (h *Handler) restrictAll(ctx context.Context, who *auth.Actor, jobs []backup.Job) ([]backup.Job, error) {
	var out []backup.Job
	for _, j := range jobs {
		results, err := h.Store.JobResults(ctx, j.ID)
		if err != nil {
			return nil, err
		}
		if v := visible(who, results); len(v) > 0 {
			restrict(&j, v)
			out = append(out, j)
		}
	}
	return out, nil
}

// filterOf reads the filter of a list of jobs from its query.
func filterOf(q url.Values) (store.JobFilter, error) {
	f := store.JobFilter{Trigger: backup.Trigger(q.Get("trigger")), Database: q.Get("database"), Cursor: q.Get("cursor")}
	if s := q.Get("status"); s != "" {
		f.Status = []backup.JobStatus{backup.JobStatus(s)}
	}
	if d := q.Get("date"); d != "" {
		date, err := backup.ParseDate(d)
		if err != nil {
			return f, err
		}
		f.From, f.To = date, date
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 500 {
			return f, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
		f.Limit = n
	}
	return f, ui.CheckText(f.Database, q.Get("status"), q.Get("trigger"))
}

// started is the answer to a request for work.
type started struct {
	JobID     string           `json:"job_id"`
	Status    backup.JobStatus `json:"status"`
	Databases []string         `json:"databases"`
	Skipped   []skipped        `json:"skipped,omitempty"`
	URL       string           `json:"url"`
}

type skipped struct {
	Name  string `json:"name"`
	JobID string `json:"job_id"`
}

// answer sends a program what was started, and takes a person there.
func answer(c echo.Context, s backup.Started) error {
	at := "/jobs/" + s.JobID
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, at)
	}
	out := started{JobID: s.JobID, Status: s.Status, Databases: s.Databases, URL: at}
	if out.Databases == nil {
		out.Databases = []string{}
	}
	for _, b := range s.Skipped {
		out.Skipped = append(out.Skipped, skipped(b))
	}
	c.Response().Header().Set(echo.HeaderLocation, at)
	return c.JSON(http.StatusAccepted, out)
}
