package overview

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

var drawing = regexp.MustCompile(`(?s)<svg class="(days|spark|age)".*?</svg>`)

// A full page stays small, and one twice as long would: under 150 kB but for what
// the charts draw, and those are a few paths a row.
func TestPageOfManyRows(t *testing.T) {
	t.Parallel()
	f := facts{Now: now, Workers: 1, Nightly: now, Days: map[string][]backup.Day{}}
	for i := range 2 * shown {
		s := standing(fmt.Sprintf("database-number-%d", i), 3, proven, func(s *backup.Standing) {
			s.Database.Description = "What this database is for"
			s.Newest.ID = uuid.NewString()
		})
		for d := range ui.StripDays {
			f.Days[s.Database.ID] = append(f.Days[s.Database.ID], backup.Day{Date: ui.StripFrom(now).AddDays(d), Stored: true, Proven: d%3 > 0, Size: int64(1e6 + d*1e4), JobID: uuid.NewString()})
		}
		f.Standings = append(f.Standings, s)
	}
	who := ui.Who{Name: "ada", Operator: true, Admin: true, Downloader: true}
	var b strings.Builder
	if err := page(ui.Chrome{Title: "Overview", Who: who}, part(view(f, who))).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	html := b.String()
	words := len(drawing.ReplaceAllString(html, ""))
	if n := len(drawing.FindAllString(html, -1)); n != 3*2*shown {
		t.Errorf("%d drawings in %d rows", n, 2*shown)
	}
	if words > 150_000 || (len(html)-words)/(2*shown) > 2500 {
		t.Errorf("%d rows have %d bytes, and their drawings %d", 2*shown, words, len(html)-words)
	}
}
