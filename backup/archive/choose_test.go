package archive_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
)

func day(s string) backup.Date {
	d, err := backup.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// listed makes an entry of the catalogue; n makes it unlike the others.
func listed(n int, name, date string, kind backup.CopyKind, change ...func(*backup.Copy)) backup.Copy {
	d := day(date)
	k := object.Key{Kind: kind, Date: d, At: d.Time().Add(time.Duration(n) * time.Minute), JobID: fmt.Sprintf("%032x", n), Slug: name}
	c := backup.Copy{
		ID: fmt.Sprint(n), DatabaseID: "id-" + name, DatabaseName: name, Kind: kind, Date: d, TakenAt: k.At, Key: k.String(),
		Proof: backup.ProofPending, Compression: backup.Plain,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func database(name, since string) backup.Database {
	return backup.Database{ID: "id-" + name, Name: name, FirstSeenAt: day(since).Time()}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	suspect := func(c *backup.Copy) { c.Proof = backup.ProofSuspect }
	now := time.Now()
	copies := []backup.Copy{
		listed(1, "a", "2021-01-02", backup.Daily), listed(2, "a", "2021-01-03", backup.Daily), listed(3, "a", "2021-01-04", backup.Daily),
		listed(4, "a", "2021-01-01", backup.Daily, suspect), listed(5, "a", "2021-01-01", backup.Manual), listed(6, "a", "2021-01-01", backup.Manual),
		listed(7, "a", "2021-01-01", backup.Manual, suspect),
		listed(8, "a", "2020-12-31", backup.Daily, suspect),
		listed(9, "a", "2020-12-30", backup.Daily, func(c *backup.Copy) { c.QuarantinedAt = &now }),
		listed(10, "a", "2020-12-29", backup.Daily, func(c *backup.Copy) { c.Archived.Week = "2020-W53" }),
		listed(11, "a", "2021-01-02", backup.Manual), listed(12, "a", "2020-12-28", backup.Safety), listed(13, "a", "2020-12-28", backup.Daily, func(c *backup.Copy) { c.DeletedAt = &now }),
		// Two attempts of one date, both good.
		listed(14, "b", "2020-12-28", backup.Daily), listed(15, "b", "2020-12-28", backup.Daily, func(c *backup.Copy) { c.Key = "daily/2020-12-28/b.1.sql" }),
		// Too late for its own archive, and a manual copy of that date.
		listed(16, "b", "2020-12-20", backup.Daily), listed(17, "b", "2020-12-20", backup.Manual), listed(18, "b", "2020-12-21", backup.Daily, suspect),
		// Two databases of one name, by hand, on a date without dailies.
		listed(19, "c", "2021-01-03", backup.Manual), listed(20, "c", "2021-01-03", backup.Manual, func(c *backup.Copy) { c.DatabaseID = "12345678-9" }),
	}
	gone := database("gone", "2020-01-01")
	goneAt := day("2020-12-29").Time().Add(time.Hour)
	gone.GoneAt = &goneAt
	new := database("b", "2020-12-20")
	new.FirstSeenAt = day("2021-01-01").Time().Add(9 * time.Hour)
	p := archive.Choose(w53, []backup.Database{database("a", "2020-01-01"), new, gone}, copies)
	var got, missing []string
	for _, c := range p.Copies {
		got = append(got, c.ID+" "+c.Archived.Name)
	}
	want := []string{
		"16 2020-12-20/b.sql", "14 2020-12-28/b.sql", "15 2020-12-28/b.1.sql", "6 2021-01-01/a.sql", "1 2021-01-02/a.sql", "2 2021-01-03/a.sql",
		"19 2021-01-03/c.sql", "20 2021-01-03/c~12345678.sql",
	}
	slices.Sort(want[1:3])
	slices.Sort(got[1:3])
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, g := range p.Missing {
		missing = append(missing, g.Date.String()+" "+g.DatabaseName+": "+g.Reason)
	}
	want = []string{
		"2020-12-28 a: no copy was made", "2020-12-28 gone: no copy was made", "2020-12-30 a: its copy is suspect and was left out",
		"2020-12-31 a: its copy is suspect and was left out", "2021-01-02 b: no copy was made", "2021-01-03 b: no copy was made",
	}
	if !slices.Equal(missing, want) {
		t.Errorf("missing %q\nwant    %q", missing, want)
	}
	slices.Reverse(copies)
	if again := archive.Choose(w53, nil, copies); len(again.Copies) != len(p.Copies) || again.Copies[0].ID != p.Copies[0].ID || again.Copies[7].Archived.Name != p.Copies[7].Archived.Name {
		t.Error("the order of the list matters")
	}
}

// TestDates: the ISO year is the one that the week's Thursday lies in.
func TestDates(t *testing.T) {
	t.Parallel()
	for week, want := range map[string]string{
		"2026-W53": "2026-12-28 2027-01-03", "2027-W01": "2027-01-04 2027-01-10", "2020-W53": "2020-12-28 2021-01-03",
		"2025-W01": "2024-12-30 2025-01-05", "2026-W48": "2026-11-23 2026-11-29",
	} {
		w, err := object.ParseWeek(week)
		if err != nil {
			t.Fatal(err)
		}
		from, to := archive.Dates(w)
		if got := from.String() + " " + to.String(); got != want {
			t.Errorf("%s: %s, want %s", week, got, want)
		}
		if object.WeekOf(from.Time()) != w || object.WeekOf(to.Time().Add(4*time.Hour)) != w || to.Time().Weekday() != time.Sunday {
			t.Errorf("%s: its dates lie in another week", week)
		}
	}
}
