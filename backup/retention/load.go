package retention

import (
	"context"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// The settings in which retention keeps what it knows.
const (
	PolicySetting = "retention_policy" // Policy, as an admin set it
	StateSetting  = "retention_state"  // State
	ClockSetting  = "retention_clock"  // ClockRight
	ReportSetting = "retention_report" // Report, of the last run
)

// ClockRight is an admin's word that the clock is right although there are
// records of later times.
type ClockRight struct {
	UpTo time.Time `json:"up_to"` // the newest of them
	By   string    `json:"by"`
}

// Source is what is stored and set: the store.
type Source interface {
	Holdings(ctx context.Context) (backup.Holdings, error)
	Setting(ctx context.Context, key string, v any) (bool, error)
}

// Fixed is what the environment or a file says of the policy; 0 where it says
// nothing, and an admin or the default decides.
type Fixed struct {
	Daily  int // days
	Weekly int // weeks
}

// Wanted is the policy that is to be carried out: what the environment fixes,
// then what an admin has set, then the default.
func Wanted(ctx context.Context, s Source, fixed Fixed) (Policy, error) {
	p := Default()
	if _, err := s.Setting(ctx, PolicySetting, &p); err != nil {
		return p, err
	}
	if fixed.Daily > 0 {
		p.Daily = fixed.Daily
	}
	if fixed.Weekly > 0 {
		p.Weekly = fixed.Weekly
	}
	return p.atLeastOne(), nil
}

// Load reads everything that a plan is made from.
func Load(ctx context.Context, s Source, fixed Fixed) (h Holdings, want Policy, st State, err error) {
	if want, err = Wanted(ctx, s, fixed); err != nil {
		return h, want, st, err
	}
	if _, err = s.Setting(ctx, StateSetting, &st); err != nil {
		return h, want, st, err
	}
	var clock ClockRight
	if _, err = s.Setting(ctx, ClockSetting, &clock); err != nil {
		return h, want, st, err
	}
	h, err = s.Holdings(ctx)
	h.ClockRight = clock.UpTo
	return h, want, st, err
}

// Report is what a run did and found.
type Report struct {
	At    time.Time `json:"at"`
	JobID string    `json:"job_id,omitempty"`
	Held  string    `json:"held,omitempty"` // why nothing was deleted

	Copies   int   `json:"copies_deleted"`   // objects of copies
	Archives int   `json:"archives_deleted"` //
	Bytes    int64 `json:"bytes_deleted"`    //
	Kept     int   `json:"copies_kept"`      // taken out of archives
	Stayed   int   `json:"copies_held"`      // whose time has come and that stayed

	Objects   int    `json:"objects"`         // in the bucket
	Stored    int64  `json:"bytes"`           // of them
	Missing   int    `json:"missing"`         // objects that are gone
	Resized   int    `json:"resized"`         // objects of another size
	Omitted   int    `json:"omitted"`         // objects that the listing left out
	Manifests int    `json:"manifests"`       // written anew
	Uploads   int    `json:"uploads"`         // unfinished ones given up
	Unknown   int    `json:"unknown"`         // objects that the catalogue knows nothing of
	Orphaned  int64  `json:"results"`         // results without a job, removed
	Lines     []Line `json:"lines,omitempty"` // what was done and found, at most MaxLines
}

// Line is one thing that was done or found.
type Line struct {
	What string `json:"what"` // a key
	Text string `json:"text"` // in words
}

// MaxLines bounds a report.
const MaxLines = 500

// Add adds a line.
func (r *Report) Add(what, text string) {
	if len(r.Lines) < MaxLines {
		r.Lines = append(r.Lines, Line{what, text})
	}
}

// Note lets the day begin that a policy which would delete much has to wait, as
// soon as it is known, and forgets a wait that came to nothing. It deletes
// nothing; change must change the state for one caller at a time.
func Note(ctx context.Context, s Source, fixed Fixed, now time.Time, change func(context.Context, func(*State) error) error) error {
	h, want, st, err := Load(ctx, s, fixed)
	if err != nil {
		return err
	}
	plan, next := Cautious(h, want, st, now)
	if plan.Held != "" || next.Pending == nil && st.Pending == nil {
		return nil
	}
	if next.Pending != nil && st.Pending != nil && *next.Pending == *st.Pending {
		return nil
	}
	// A wait that is over is the next run's to end.
	if next.Pending == nil && still(st.Pending, want, now) != nil {
		return nil
	}
	return change(ctx, func(st *State) error {
		st.Pending = next.Pending
		return nil
	})
}
