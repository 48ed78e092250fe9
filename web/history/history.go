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

// concerns tells whether a job without results, which is one piece of work, is
// about nothing but what a restricted token may see.
func (h *Handler) concerns(ctx context.Context, who *auth.Actor, job backup.Job) (bool, error) {
	switch job.Kind {
	case backup.JobRestore:
		rs, err := h.Store.Restore(ctx, job.ID)
		return err == nil && (who.Sees(rs.DatabaseID) || who.Sees(rs.TargetID)), err
	case backup.JobProve:
		if is, err := h.Store.IsDrill(ctx, job.ID); err != nil || is {
			return false, err // its own page shows what may be seen of it
		}
		list, err := h.Store.DrillResults(ctx, job.ID)
		hidden := slices.ContainsFunc(list, func(r backup.DrillResult) bool { return !who.Sees(r.DatabaseID) })
		return !hidden && (len(list) > 0 || job.RequestedBy == who.Name), err
	}
	return false, nil
}

// How many databases of a job one answer lists.
const (
	shownResults = 100 // a page
	sentResults  = 500 // programs
)

// part is what one answer tells of a job: the job, its totals those of what whoever
// asks may see, and some of its results.
type part struct {
	Job     backup.Job
	Results []backup.Result
	All     int    // results that whoever asks may see
	Hidden  bool   // there are others
	Status  string // only results like that were asked for; "" for all
	Limit   int
	First   bool   // the page is the first
	Next    string // cursor of the page after; "" for none
}

// errNoJob is said of a job that is not there, whyever.
func errNoJob(id string) error {
	return backup.Errorf(backup.ErrNotFound, "There is no job %s.", ui.Name(id))
}

// load gives what whoever asks may see of a job: ?status=, ?limit= and ?cursor=
// choose among its databases.
func (h *Handler) load(ctx context.Context, who *auth.Actor, id string, q url.Values, limit int) (part, error) {
	p := part{Status: q.Get("status"), First: q.Get("cursor") == "", Limit: limit}
	if err := ui.CheckText(p.Status); err != nil {
		return p, err
	}
	var err error
	if l := q.Get("limit"); l != "" {
		if p.Limit, err = strconv.Atoi(l); err != nil || p.Limit < 1 || p.Limit > 500 {
			return p, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
	}
	if p.Job, err = h.Store.Job(ctx, id); errors.Is(err, backup.ErrNotFound) {
		return p, errNoJob(id)
	} else if err != nil {
		return p, err
	}
	f := store.ResultFilter{JobID: id, DatabaseIDs: who.Databases}
	sums, err := h.Store.ResultSums(ctx, f)
	if err != nil {
		return p, err
	}
	if p.All = sums.Databases; who.Databases != nil {
		all, err := h.Store.ResultSums(ctx, store.ResultFilter{JobID: id})
		if err != nil {
			return p, err
		}
		if p.All == 0 {
			concerns := false
			if all.Databases == 0 {
				concerns, err = h.concerns(ctx, who, p.Job)
			}
			if err != nil || !concerns {
				return p, cmp.Or(err, errNoJob(id))
			}
		}
		p.Hidden = all.Databases > p.All
	}
	if p.Hidden || p.Job.Kind == backup.JobBackup && !p.Job.Status.Ended() {
		p.Job.Totals = sums
	}
	if p.Hidden {
		p.Job.Error = ""
	}
	// What all fits one answer stays where it is while the job goes on; of more
	// what needs somebody comes first.
	f.Status, f.Limit, f.Cursor, f.Urgent = backup.ResultStatus(p.Status), p.Limit, q.Get("cursor"), p.All > p.Limit
	p.Results, p.Next, err = h.Store.ResultPage(ctx, f)
	return p, err
}

// json gives it as programs get it.
func (h *Handler) json(ctx context.Context, p part) (ui.Job, error) {
	var ids []string
	for _, r := range p.Results {
		if r.CopyID != "" {
			ids = append(ids, r.CopyID)
		}
	}
	proofs, err := h.Store.ProofsOf(ctx, ids)
	out := ui.JobOf(p.Job, p.Results, proofs, h.Clock())
	out.NextCursor = p.Next
	return out, err
}

// Show is GET /jobs/:id.
func (h *Handler) Show(c echo.Context) error {
	ctx, who := c.Request().Context(), auth.Of(c)
	if ui.FaceOf(c.Request()) == ui.JSON {
		p, err := h.load(ctx, who, c.Param("id"), c.QueryParams(), sentResults)
		if err != nil {
			return err
		}
		job, err := h.json(ctx, p)
		if err != nil {
			return err
		}
		return ui.Write(c, ui.Answer{JSON: job})
	}
	p, err := h.load(ctx, who, c.Param("id"), c.QueryParams(), shownResults)
	if err != nil {
		return err
	}
	if at, err := h.elsewhere(ctx, p.Job); err != nil {
		return err
	} else if at != "" {
		return ui.Go(c, at)
	}
	m := view(p, h.Clock(), who.Who())
	if err := h.addProof(ctx, p.Job, &m); err != nil {
		return err
	}
	chrome := auth.Chrome(c, m.Title, "history")
	if m.Open {
		chrome.Refresh = 3
	}
	return ui.Write(c, ui.Answer{Page: page(chrome, m), Part: polled(m)})
}

// elsewhere gives the page that tells more of a job than this section's; "" for
// none.
func (h *Handler) elsewhere(ctx context.Context, job backup.Job) (string, error) {
	switch job.Kind {
	case backup.JobRestore:
		return "/restores/" + job.ID, nil
	case backup.JobProve:
		if is, err := h.Store.IsDrill(ctx, job.ID); err != nil || !is {
			return "", err
		}
		return "/drills/" + job.ID, nil
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
		sums, err := h.Store.ResultSums(ctx, store.ResultFilter{JobID: j.ID, DatabaseIDs: who.Databases})
		if err != nil {
			return nil, err
		}
		if sums.Databases > 0 {
			j.Totals, j.Error = sums, ""
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
