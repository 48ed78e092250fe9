package audit

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// csvPage is how many lines are read at once for a file.
const csvPage = 1000

// csv sends every line that the filter chooses for a spreadsheet, or as many as
// a limit says. It reads page by page, and holds one.
func (h *Handler) csv(c echo.Context, f store.AuditFilter) error {
	most := -1
	if c.QueryParam("limit") != "" {
		most = f.Limit
	}
	f.Limit = csvPage
	ctx := c.Request().Context()
	list, next, err := h.Store.Audit(ctx, f)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename=patina-audit.csv`)
	c.Response().WriteHeader(http.StatusOK)
	w := csv.NewWriter(c.Response())
	_ = w.Write([]string{"id", "at", "actor", "action", "target", "outcome", "reason", "ip", "user_agent", "request_id"})
	for {
		for _, e := range list {
			if most == 0 {
				break
			}
			most--
			_ = w.Write(cells(e))
		}
		w.Flush()
		if err := w.Error(); err != nil || next == "" || most == 0 {
			return err
		}
		// Each page has the time of an ordinary answer; a writer without a deadline needs none.
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(time.Minute))
		f.Cursor = next
		if list, next, err = h.Store.Audit(ctx, f); err != nil {
			panic(http.ErrAbortHandler) // a file that ends early must not look whole
		}
	}
}

func cells(e store.AuditEntry) []string {
	return []string{
		strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339), cell(e.Actor), cell(e.Action), cell(e.Target),
		cell(e.Outcome), cell(e.Reason), cell(e.IP), cell(e.UserAgent), cell(e.RequestID),
	}
}

// cell keeps a spreadsheet from taking a text for a formula, in whichever
// width its first character is written.
func cell(s string) string {
	s = ui.Name(s)
	if r, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@＝＋－＠", r) {
		return "'" + s
	}
	return s
}
