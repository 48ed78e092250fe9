package retention

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// t0 is the Sunday of 2026-W48, an hour after its archive.
var t0 = time.Date(2026, 11, 29, 5, 0, 0, 0, time.UTC)

func dailyOf(db string, ago int) backup.Copy {
	at := t0.AddDate(0, 0, -ago).Add(-2 * time.Hour)
	date := backup.DateOf(at)
	return backup.Copy{
		ID: db + "-" + date.String(), DatabaseID: "id-" + db, DatabaseName: db, Kind: backup.Daily, Date: date, TakenAt: at, CreatedAt: at,
		SHA256: "sha-" + db + date.String(), Proof: backup.ProofProven,
	}
}

// archived is a copy that an archive holds too.
func archived(c backup.Copy, week string) backup.Copy {
	c.Archived = backup.Archived{Week: week, Name: c.Date.String() + "/" + c.DatabaseName + ".sql", Length: 1}
	return c
}

// alone is a copy that lies in an archive alone.
func alone(c backup.Copy, week string) backup.Copy {
	c = archived(c, week)
	c.ObjectGone = true
	return c
}

func archiveOf(week string, to backup.Date) backup.Archive {
	return backup.Archive{Week: week, To: to, From: to.AddDays(-6)}
}

func decisions(p Plan) map[string]Decision {
	out := map[string]Decision{}
	for _, d := range append(append([]Decision(nil), p.Copies...), p.Archives...) {
		out[d.ID] = d
	}
	return out
}

func show(d Decision) string {
	s := "stays"
	if d.Drop {
		s = "goes"
	}
	if d.Until != nil {
		s += " until " + d.Until.Format(time.DateTime)
	}
	s += ": " + d.Reason
	if d.Held != "" {
		s += " (" + d.Held + ")"
	}
	return s
}

func TestDecide(t *testing.T) {
	t.Parallel()
	w47, w48 := backup.Date{Year: 2026, Month: 11, Day: 22}, backup.Date{Year: 2026, Month: 11, Day: 29}
	today, week, eight := dailyOf("a", 0), dailyOf("a", 7), dailyOf("a", 8)
	yesterday := t0.Add(-24 * time.Hour)
	with := func(c backup.Copy, change func(*backup.Copy)) backup.Copy {
		change(&c)
		return c
	}
	manual := with(dailyOf("a", 31), func(c *backup.Copy) { c.Kind, c.ID = backup.Manual, "manual" })
	old := w48.AddDays(-84)
	both := Holdings{Copies: []backup.Copy{today, archived(week, "2026-W47")}, Archives: []backup.Archive{archiveOf("2026-W47", w47)}}
	also := func(change func(*Holdings)) Holdings {
		h := both
		h.Copies, h.Archives = slices.Clone(h.Copies), slices.Clone(h.Archives)
		change(&h)
		return h
	}
	for _, tt := range []struct {
		name string
		h    Holdings
		id   string
		want string
	}{
		{"within the days", also(func(h *Holdings) {
			h.Copies[1], h.Archives[0] = archived(dailyOf("a", 3), "2026-W48"), archiveOf("2026-W48", w48)
		}), "a-2026-11-26", "stays until 2026-12-03 00:00:00: 7 days of dailies; in 2026-W48 until 2027-02-21"},
		{"archived and old", both, week.ID, "goes until 2026-11-29 00:00:00: 7 days of dailies; in 2026-W47 until 2027-02-14"},
		{"in no archive", Holdings{Copies: []backup.Copy{today, week}}, week.ID, "stays: not yet in a verified archive"},
		{"in an archive that is gone", also(func(h *Holdings) { h.Archives = nil }), week.ID, "stays: not yet in a verified archive"},
		{"in an archive in quarantine", also(func(h *Holdings) { h.Archives[0].QuarantinedAt = &yesterday }), week.ID, "stays: not yet in a verified archive"},
		{"pinned", also(func(h *Holdings) { h.Copies[1].Pinned = true }), week.ID, "stays: pinned"},
		{"newest proven", also(func(h *Holdings) { h.Copies[0].Proof = backup.ProofPending }), week.ID, "stays: newest proven copy of a"},
		{"newest proven of one gone", also(func(h *Holdings) { h.Copies, h.Gone = h.Copies[1:], map[string]bool{"id-a": true} }), week.ID, "stays: newest proven copy of a, which the account no longer has: an admin decides"},
		{"nothing proven", also(func(h *Holdings) { h.Copies = h.Copies[1:]; h.Copies[0].Proof = backup.ProofPending }), week.ID, "stays: newest copy, none being proven, of a"},
		{"the newer one in quarantine", also(func(h *Holdings) { h.Copies[0].QuarantinedAt = &yesterday }), week.ID, "stays: newest proven copy of a"},
		{"the newer one in an archive in quarantine", also(func(h *Holdings) {
			h.Copies[0] = alone(h.Copies[0], "2026-W48")
			damaged := archiveOf("2026-W48", w48)
			damaged.QuarantinedAt = &yesterday
			h.Archives = append(h.Archives, damaged)
		}), week.ID, "stays: newest proven copy of a"},
		{"nothing proven, and the newest is suspect", also(func(h *Holdings) { h.Copies[0].Proof, h.Copies[1].Proof = backup.ProofSuspect, backup.ProofPending }), week.ID, "stays: newest copy, none being proven, of a"},
		{"nothing but suspect", Holdings{Copies: []backup.Copy{with(dailyOf("a", 40), func(c *backup.Copy) { c.Proof = backup.ProofSuspect })}}, dailyOf("a", 40).ID, "stays: newest copy, none being proven, of a"},
		{"suspect, 30 days", also(func(h *Holdings) { h.Copies[1] = dailyOf("a", 30); h.Copies[1].Proof = backup.ProofSuspect }), "a-2026-10-30", "goes until 2026-11-29 03:00:00: suspect, kept 30 days to be looked at"},
		{"suspect, 29 days", also(func(h *Holdings) { h.Copies[1] = dailyOf("a", 29); h.Copies[1].Proof = backup.ProofSuspect }), "a-2026-10-31", "stays until 2026-11-30 03:00:00: suspect, kept 30 days to be looked at"},
		{"quarantine", also(func(h *Holdings) { h.Copies[1].QuarantinedAt = &yesterday }), week.ID, "stays: in quarantine: it is never deleted by itself"},
		{"on demand", Holdings{Copies: []backup.Copy{today, manual}}, "manual", "goes until 2026-11-28 03:00:00: 30 days of copies made on demand"},
		{"before a restore", Holdings{Copies: []backup.Copy{today, with(manual, func(c *backup.Copy) { c.Kind, c.TakenAt = backup.Safety, yesterday })}}, "manual", "stays until 2026-12-28 05:00:00: 30 days of copies made before a restore"},
		{"only a copy before a restore is proven", Holdings{Copies: []backup.Copy{with(today, func(c *backup.Copy) { c.Proof = backup.ProofPending }), with(manual, func(c *backup.Copy) { c.Kind = backup.Safety })}}, "manual", "stays: newest proven copy of a"},
		{"a newer copy before a restore", also(func(h *Holdings) { h.Copies[0].Kind = backup.Safety }), week.ID, "stays: newest proven copy of a"},
		{"being read", also(func(h *Holdings) { h.Reading = map[string]string{week.ID: "a download"} }), week.ID, "stays until 2026-11-29 00:00:00: 7 days of dailies; in 2026-W47 until 2027-02-14 (it is being read: a download)"},
		{"clock gone back", also(func(h *Holdings) { h.Newest = t0.Add(time.Hour) }), week.ID, "stays until 2026-11-29 00:00:00: 7 days of dailies; in 2026-W47 until 2027-02-14 (the clock has gone back: it shows 2026-11-29 05:00, and there is a record of 2026-11-29 06:00)"},
		{"clock confirmed", also(func(h *Holdings) { h.Newest, h.ClockRight = t0.Add(time.Hour), t0.Add(time.Hour) }), week.ID, "goes until 2026-11-29 00:00:00: 7 days of dailies; in 2026-W47 until 2027-02-14"},
		{"from the future", also(func(h *Holdings) { h.Copies[1].TakenAt, h.ClockRight = t0.AddDate(9, 0, 0), t0.AddDate(9, 0, 1) }), week.ID, "stays: taken at a time that has not come yet"},
		{"frozen", also(func(h *Holdings) { h.Frozen = "frozen after a rebuild" }), week.ID, "stays until 2026-11-29 00:00:00: 7 days of dailies; in 2026-W47 until 2027-02-14 (frozen after a rebuild)"},
		{"listing incomplete", also(func(h *Holdings) { h.Incomplete = "the listing omits keys" }), week.ID, "stays until 2026-11-29 00:00:00: 7 days of dailies; in 2026-W47 until 2027-02-14 (the listing omits keys)"},
		{"in an archive alone", Holdings{Copies: []backup.Copy{today, alone(eight, "2026-W47")}, Archives: both.Archives}, eight.ID, "stays until 2027-02-14 00:00:00: in 2026-W47"},
		{"in an archive alone, pinned", Holdings{Copies: []backup.Copy{today, with(alone(eight, "2026-W47"), func(c *backup.Copy) { c.Pinned = true })}, Archives: both.Archives}, eight.ID, "stays: pinned; in 2026-W47"},
		{"an archive within its weeks", both, "2026-W47", "stays until 2027-02-14 00:00:00: 12 weeks of archives"},
		{"an archive past its weeks", Holdings{Copies: []backup.Copy{today, alone(dailyOf("a", 84), "old")}, Archives: []backup.Archive{archiveOf("old", old)}}, "old", "goes until 2026-11-29 00:00:00: 12 weeks of archives"},
		{"a copy past its archive's weeks", Holdings{Copies: []backup.Copy{today, alone(dailyOf("a", 84), "old")}, Archives: []backup.Archive{archiveOf("old", old)}}, dailyOf("a", 84).ID, "stays until 2026-11-29 00:00:00: in old"},
		{"an archive with the last proven copy", Holdings{Copies: []backup.Copy{alone(dailyOf("a", 84), "old")}, Archives: []backup.Archive{archiveOf("old", old)}}, "old", "stays until 2026-11-29 00:00:00: 12 weeks of archives (1 of its copies must be taken out first, the one of a for 2026-09-06 among them: newest proven copy of a)"},
		{"an archive of which a copy is read", Holdings{Copies: []backup.Copy{today, alone(dailyOf("a", 84), "old")}, Archives: []backup.Archive{archiveOf("old", old)}, Reading: map[string]string{dailyOf("a", 84).ID: "a proof"}}, "old", "stays until 2026-11-29 00:00:00: 12 weeks of archives (the copy of a for 2026-09-06 is being read: a proof)"},
		{"an archive in quarantine", Holdings{Archives: []backup.Archive{func() backup.Archive { a := archiveOf("old", old); a.QuarantinedAt = &yesterday; return a }()}}, "old", "stays: in quarantine: it is never deleted by itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := decisions(Decide(tt.h, Default(), t0))
			d, ok := got[tt.id]
			if !ok {
				t.Fatalf("nothing is decided about %s: %v", tt.id, got)
			}
			if s := show(d); s != tt.want {
				t.Errorf("it %s\nwant  %s", s, tt.want)
			}
		})
	}
}

// TestZeroIsNotNothing: a policy of nothing counts as one day and one week.
func TestZeroIsNotNothing(t *testing.T) {
	t.Parallel()
	today, yesterday := archived(dailyOf("a", 0), "2026-W48"), archived(dailyOf("a", 1), "2026-W48")
	h := Holdings{Copies: []backup.Copy{today, yesterday}, Archives: []backup.Archive{archiveOf("2026-W48", backup.DateOf(t0))}}
	got := decisions(Decide(h, Policy{}, t0))
	if got[today.ID].Drop || !got[yesterday.ID].Drop || got["2026-W48"].Drop {
		t.Errorf("%+v", got)
	}
}

// TestRescue: what an archive alone holds and is needed is named once, and
// until it is taken out the archive stays; then it goes, and nothing is named.
func TestRescue(t *testing.T) {
	t.Parallel()
	h := Holdings{
		Copies:   []backup.Copy{dailyOf("b", 0), alone(dailyOf("gone", 90), "old"), alone(dailyOf("b", 91), "old"), alone(dailyOf("b", 92), "old")},
		Archives: []backup.Archive{archiveOf("old", backup.DateOf(t0).AddDays(-84))},
	}
	h.Copies[2].Pinned = true
	p := Decide(h, Default(), t0)
	if len(p.Rescue) != 2 || p.Rescue[0].Copy.ID != h.Copies[1].ID || p.Rescue[1].Copy.ID != h.Copies[2].ID || p.Archives[0].Drop {
		t.Fatalf("%+v", p)
	}
	if !strings.Contains(p.Archives[0].Held, "2 of its copies") {
		t.Errorf("the archive is held: %s", p.Archives[0].Held)
	}
	held := h
	held.Frozen = "frozen"
	if p := Decide(held, Default(), t0); len(p.Rescue) != 0 || p.Archives[0].Drop {
		t.Errorf("frozen: %+v", p)
	}
	erased := h
	erased.Erased = map[string]bool{"id-gone": true, "id-b": true}
	if p := Decide(erased, Default(), t0); len(p.Rescue) != 0 || !p.Archives[0].Drop {
		t.Errorf("what an admin had erased is taken out: %+v", p.Rescue)
	}
	for i := 1; i <= 2; i++ {
		h.Copies[i].Kind, h.Copies[i].ObjectGone = backup.Kept, false
	}
	p = Decide(h, Default(), t0)
	if len(p.Rescue) != 0 || !p.Archives[0].Drop {
		t.Errorf("once taken out: %+v", p)
	}
	if copies, archives := p.Drops(); copies != 0 || archives != 1 {
		t.Errorf("%d copies and %d archives go", copies, archives)
	}
}

// TestKeptEnds: a copy taken out of an archive stays for another 30 days after
// what it was kept for has ended, and its recorded end is not moved.
func TestKeptEnds(t *testing.T) {
	t.Parallel()
	kept := dailyOf("a", 100)
	kept.Kind = backup.Kept
	h := Holdings{Copies: []backup.Copy{dailyOf("a", 0), kept}}
	d := Decide(h, Default(), t0).Copies[1]
	if d.Drop || d.Until == nil || !d.Until.Equal(t0.AddDate(0, 0, 30)) {
		t.Fatalf("it %s", show(d))
	}
	h.Copies[1].ExpiresAt = d.Until
	d = Decide(h, Default(), t0.AddDate(0, 0, 29)).Copies[1]
	if d.Drop || !d.Until.Equal(t0.AddDate(0, 0, 30)) {
		t.Errorf("a day before, it %s", show(d))
	}
	if d = Decide(h, Default(), t0.AddDate(0, 0, 30)).Copies[1]; !d.Drop {
		t.Errorf("on the day, it %s", show(d))
	}
}

// TestDailiesOutliveTheirArchive: where dailies are kept longer than archives,
// the archive waits for them: a daily goes only while it sits in one.
func TestDailiesOutliveTheirArchive(t *testing.T) {
	t.Parallel()
	c := archived(dailyOf("a", 30), "old")
	h := Holdings{Copies: []backup.Copy{dailyOf("a", 0), c}, Archives: []backup.Archive{archiveOf("old", backup.DateOf(t0).AddDays(-28))}}
	p := Policy{Daily: 60, Weekly: 1, Other: 30}
	got := decisions(Decide(h, p, t0))
	if got["old"].Drop || !got["old"].Until.Equal(c.Date.AddDays(60).Time()) {
		t.Errorf("the archive %s", show(got["old"]))
	}
	got = decisions(Decide(h, p, t0.AddDate(0, 0, 31)))
	if !got["old"].Drop || !got[c.ID].Drop {
		t.Errorf("later, the archive %s, the daily %s", show(got["old"]), show(got[c.ID]))
	}
	h.Reading = map[string]string{c.ID: "a proof"}
	got = decisions(Decide(h, p, t0.AddDate(0, 0, 31)))
	if got["old"].Drop || got[c.ID].Drop {
		t.Errorf("while the daily is read, the archive %s, the daily %s", show(got["old"]), show(got[c.ID]))
	}
}

func holdingsOf(weeks int, databases ...string) Holdings {
	var h Holdings
	for w := weeks - 1; w >= 0; w-- {
		last := backup.DateOf(t0).AddDays(-7 * w)
		week := "w-" + last.String()
		for _, db := range databases {
			for d := 6; d >= 0; d-- {
				c := alone(dailyOf(db, 7*w+d), week)
				c.ObjectGone = w > 1
				h.Copies = append(h.Copies, c)
			}
		}
		h.Archives = append(h.Archives, archiveOf(week, last))
	}
	return h
}

// TestChangeWaits: a policy that would delete much waits a day; meanwhile the
// one in force goes on; somebody's word ends the wait; taken back, nothing is
// left of it.
func TestChangeWaits(t *testing.T) {
	t.Parallel()
	h := holdingsOf(13, "a", "b")
	long, short := Default(), Policy{Daily: 7, Weekly: 4, Other: 30}
	before := t0.AddDate(0, 0, -7)
	s := State{InForce: &long, LastRun: &before}
	p, s1 := Cautious(h, short, s, t0)
	if _, n := p.Drops(); n != 1 || s1.Pending == nil || *s1.InForce != long || !s1.Pending.Until.Equal(t0.Add(24*time.Hour)) {
		t.Fatalf("%d archives go; state %+v", n, s1)
	}
	if d := p.Archives[1]; !strings.Contains(d.Held, "a would lose 56 dates") || !strings.Contains(d.Held, "112 of 182") {
		t.Errorf("it %s", show(d))
	}
	p, s2 := Cautious(h, short, s1, t0.Add(23*time.Hour))
	if _, n := p.Drops(); n != 1 || s2.Pending == nil || !s2.Pending.Until.Equal(s1.Pending.Until) {
		t.Errorf("an hour before: %d archives go; state %+v", n, s2)
	}
	p, s3 := Cautious(h, short, s1, t0.Add(24*time.Hour))
	if _, n := p.Drops(); n != 9 || s3.Pending != nil || *s3.InForce != short {
		t.Errorf("a day later: %d archives go; state %+v", n, s3)
	}
	word := s1
	confirmed := *s1.Pending
	confirmed.ConfirmedBy = "ada"
	word.Pending = &confirmed
	if p, s := Cautious(h, short, word, t0.Add(time.Hour)); s.Pending != nil || *s.InForce != short {
		t.Errorf("confirmed: %+v", s)
	} else if _, n := p.Drops(); n != 9 {
		t.Errorf("confirmed: %d archives go", n)
	}
	if _, s := Cautious(h, long, s1, t0.Add(time.Hour)); s.Pending != nil {
		t.Errorf("taken back: %+v", s)
	}
	if p, s := Cautious(h, Policy{Daily: 7, Weekly: 3, Other: 30}, word, t0.Add(time.Hour)); s.Pending == nil || s.Pending.ConfirmedBy != "" {
		t.Errorf("the word for one policy counts for another: %+v %+v", p, s)
	}
	if _, s := Cautious(h, Policy{Daily: 7, Weekly: 13, Other: 30}, s, t0); s.Pending != nil || s.InForce.Weekly != 13 {
		t.Errorf("a longer policy waits: %+v", s)
	}
}

// TestClockGoesOnByYears: what a clock that jumped ahead would expire waits a
// day, and comes to nothing once the clock is right again.
func TestClockGoesOnByYears(t *testing.T) {
	t.Parallel()
	h, p := holdingsOf(12, "a", "b"), Default()
	for i := range h.Copies {
		h.Copies[i].ObjectGone = h.Copies[i].ObjectGone || h.Copies[i].Archived.Week != h.Archives[len(h.Archives)-1].Week
	}
	s := State{InForce: &p, LastRun: &t0}
	later := t0.AddDate(3, 0, 0)
	plan, s1 := Cautious(h, p, s, later)
	if copies, archives := plan.Drops(); archives > 1 || s1.Pending == nil {
		t.Fatalf("%d copies and %d archives go at once; state %+v", copies, archives, s1)
	}
	plan, s2 := Cautious(h, p, s1, t0.Add(time.Hour))
	if copies, archives := plan.Drops(); copies+archives != 0 || s2.Pending != nil {
		t.Errorf("the clock being right again, %d copies and %d archives go; state %+v", copies, archives, s2)
	}
	// A day that only the clock has seen is no day of waiting.
	early := State{InForce: &p, LastRun: &t0, Pending: &Pending{Policy: p, Since: t0, Until: t0.Add(patience)}}
	if plan, s := Cautious(h, p, early, later); s.Pending == nil || !s.Pending.Since.Equal(later) {
		copies, archives := plan.Drops()
		t.Errorf("what had begun to wait before the jump goes: %d copies, %d archives", copies, archives)
	}
	_, ran := Cautious(h, p, s1, later.AddDate(0, 0, 1))
	if plan, _ := Cautious(h, p, ran, t0.Add(time.Hour)); plan.Held == "" {
		t.Error("a run in the future holds nothing back")
	}
}

// TestOrdinaryWeeksDoNotWait: each Sunday one archive and seven dailies of each
// database go, without a word.
func TestOrdinaryWeeksDoNotWait(t *testing.T) {
	t.Parallel()
	h, p := holdingsOf(13, "a", "b", "c"), Default()
	before := t0.AddDate(0, 0, -7)
	plan, s := Cautious(h, p, State{InForce: &p, LastRun: &before}, t0)
	if copies, archives := plan.Drops(); copies != 21 || archives != 1 || s.Pending != nil {
		t.Errorf("%d copies and %d archives go; state %+v", copies, archives, s)
	}
}

// TestExpected: what a copy is told when it is made.
func TestExpected(t *testing.T) {
	t.Parallel()
	c := dailyOf("a", 0)
	if d := Expected(c, Default()); show(d) != "stays: not yet in a verified archive" {
		t.Errorf("a daily %s", show(d))
	}
	c.Kind = backup.Safety
	if d := Expected(c, Default()); show(d) != "stays until 2026-12-29 03:00:00: 30 days of copies made before a restore" {
		t.Errorf("a safety copy %s", show(d))
	}
}

// TestEntries: a plan in words, what goes first.
func TestEntries(t *testing.T) {
	t.Parallel()
	h := Holdings{
		Copies:   []backup.Copy{dailyOf("a", 0), archived(dailyOf("a", 7), "w"), alone(dailyOf("a", 90), "old"), archived(dailyOf("a", 8), "w")},
		Archives: []backup.Archive{archiveOf("old", backup.DateOf(t0).AddDays(-84)), archiveOf("w", backup.DateOf(t0).AddDays(-7))},
		Reading:  map[string]string{dailyOf("a", 7).ID: "a download"},
	}
	h.Copies[2].Pinned = true
	var got []string
	for _, e := range Decide(h, Default(), t0).Entries(h, true) {
		got = append(got, e.Action+" "+e.ID)
	}
	want := []string{
		"delete " + h.Copies[3].ID, "hold " + h.Copies[1].ID, "hold old", "keep " + h.Copies[2].ID, "stay " + h.Copies[0].ID, "stay w",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if n := len(Decide(h, Default(), t0).Entries(h, false)); n != 4 {
		t.Errorf("%d lines of what changes", n)
	}
}
