package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/alerts"
	"github.com/AutumnsGrove/Patina/web/audit"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/copies"
	"github.com/AutumnsGrove/Patina/web/databases"
	"github.com/AutumnsGrove/Patina/web/drills"
	"github.com/AutumnsGrove/Patina/web/gallery"
	"github.com/AutumnsGrove/Patina/web/history"
	"github.com/AutumnsGrove/Patina/web/manual"
	"github.com/AutumnsGrove/Patina/web/metrics"
	"github.com/AutumnsGrove/Patina/web/overview"
	"github.com/AutumnsGrove/Patina/web/restores"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Route is one thing that can be asked of the server, and who may ask it. GET
// serves HEAD too, but for a stream.
type Route struct {
	Method, Path string
	Right        auth.Right
	Handle       echo.HandlerFunc
	Stream       bool
}

// table is every route but the files under /static/.
func (s *Server) table() []Route {
	c := s.cfg
	home := overview.Handler{Store: c.Store, Auth: s.auth, Version: c.Version, Nightly: c.Nightly, Weekly: c.Weekly, Clock: c.Clock}
	jobs := history.Handler{Store: c.Store, Requests: c.Requests, Auth: s.auth, Clock: c.Clock, Streams: s.streams}
	dbs := databases.Handler{Store: c.Store, PublicURL: c.PublicURL, Nightly: c.Nightly, Clock: c.Clock}
	back := restores.Handler{Store: c.Store, Requests: c.Requests, Auth: s.auth, Clock: c.Clock}
	stored := copies.Handler{Store: c.Store, Bucket: c.Bucket, Auth: s.auth, Log: c.Log, Clock: c.Clock, Comparisons: make(chan struct{}, 2)}
	guides := manual.Handler{Store: c.Store, Bucket: c.Bucket.String(), PublicURL: c.PublicURL, Clock: c.Clock}
	rehearsals := drills.Handler{Store: c.Store, Requests: c.Requests, Auth: s.auth, Next: c.Drill, Clock: c.Clock}
	log := audit.Handler{Store: c.Store}
	told := alerts.Handler{Store: c.Store, Requests: c.Requests, Auth: s.auth, Channels: alerts.Channels{Sealer: c.Sealer, Sender: c.Sender}, Clock: c.Clock}
	scrape := metrics.Handler{Store: c.Store, Token: c.MetricsToken, Version: c.Version, Clock: c.Clock}
	var dev []Route
	if c.Dev {
		dev = []Route{{"GET", "/dev/gallery", auth.View, gallery.Show, false}}
	}
	return append([]Route{
		{"GET", "/", auth.View, home.Home, false},
		{"GET", "/status", auth.View, home.Status, false},
		{"GET", "/databases", auth.View, dbs.List, false},
		{"GET", "/databases/:db", auth.View, dbs.Show, false},
		{"GET", "/list", auth.View, stored.List, false},
		{"GET", "/archives/:week", auth.View, stored.Archive, false},
		{"GET", "/archives/:week/download", auth.Download, stored.DownloadArchive, false},
		{"GET", "/download/:date/:db", auth.Download, stored.Download, false},
		{"GET", "/backups/:id", auth.View, stored.Show, false},
		{"GET", "/backups/:id/diff/:other", auth.View, stored.Compare, false}, // rows: auth.Download
		{"POST", "/trigger", auth.Operate, jobs.Trigger, false},
		{"GET", "/jobs", auth.View, jobs.List, false},
		{"GET", "/jobs/:id", auth.View, jobs.Show, false},
		{"GET", "/jobs/:id/events", auth.View, jobs.Events, true},
		{"POST", "/jobs/:id/cancel", auth.Operate, jobs.Cancel, false},
		{"POST", "/jobs/:id/retry", auth.Operate, jobs.Retry, false},
		{"POST", "/backups/:id/pin", auth.Operate, stored.Pin, false},
		{"GET", "/backups/:id/restore", auth.Admin, back.Form, false},
		{"POST", "/backups/:id/restore", auth.Admin, back.Start, false},
		{"GET", "/restores", auth.View, back.List, false},
		{"GET", "/restores/:id", auth.View, back.Show, false},
		{"POST", "/restores/:id/undo", auth.Admin, back.Undo, false},
		{"GET", "/drills", auth.View, rehearsals.List, false},
		{"GET", "/drills/:id", auth.View, rehearsals.Show, false},
		{"POST", "/drills", auth.Operate, rehearsals.Start, false},
		{"POST", "/backups/:id/verify", auth.Operate, rehearsals.Verify, false},
		{"GET", "/restore-guide/:db", auth.View, guides.Guide, false},
		{"GET", "/runbook", auth.View, guides.Runbook, false},
		{"GET", "/docs", auth.View, guides.Contents, false},
		{"GET", "/docs/:page", auth.View, guides.Page, false},
		{"GET", "/alerts", auth.Admin, told.List, false},
		{"POST", "/alerts", auth.Admin, told.Add, false},
		{"POST", "/alerts/seen", auth.Admin, told.Seen, false},
		{"POST", "/alerts/thresholds", auth.Admin, told.Thresholds, false},
		{"POST", "/alerts/mutes", auth.Admin, told.Mute, false},
		{"POST", "/alerts/mutes/:id/end", auth.Admin, told.EndMute, false},
		{"GET", "/alerts/:id", auth.Admin, told.Show, false},
		{"POST", "/alerts/:id", auth.Admin, told.Edit, false},
		{"POST", "/alerts/:id/test", auth.Admin, told.Test, false},
		{"POST", "/alerts/:id/secret", auth.Admin, told.Secret, false},
		{"POST", "/alerts/:id/delete", auth.Admin, told.Delete, false},
		{"GET", "/audit", auth.Admin, log.List, false},
		{"GET", "/openapi.json", auth.View, s.openapi, false},
		{"GET", "/sign-in", auth.Public, s.auth.Form, false},
		{"POST", "/sign-in", auth.Public, s.auth.SignIn, false},
		{"GET", "/sign-in/sso", auth.Public, s.auth.Leave, false},
		{"GET", auth.CallbackPath, auth.Public, s.auth.Return, false},
		{"POST", "/sign-out", auth.View, s.auth.SignOut, false},
		{"GET", "/setup", auth.Public, s.auth.SetupForm, false},
		{"POST", "/setup", auth.Public, s.auth.Setup, false},
		{"GET", "/set-password", auth.Public, s.auth.LinkForm, false},
		{"POST", "/set-password", auth.Public, s.auth.UseLink, false},
		{"GET", "/healthz", auth.Public, s.healthz, false},
		{"GET", "/readyz", auth.Public, s.readyz, false},
		{"GET", "/metrics", auth.Public, scrape.Serve, false},
	}, append(dev, s.settings(&home)...)...)
}

// Routes gives the table, for tests and tools.
func (s *Server) Routes() []Route { return s.routes }

// guard lets in whoever holds the right that a route demands, and leads a
// browser that carries nothing to the sign-in page. A refusal is on record.
func (s *Server) guard(r Route) echo.HandlerFunc {
	if r.Right == auth.Public {
		return r.Handle
	}
	return func(c echo.Context) error {
		who, err := s.auth.Identify(c.Request())
		if err != nil {
			if backup.Kind(err) != nil { // whatever kept us from finding out, it is not theirs to mend
				return &backup.Error{Kind: backup.ErrUnavailable, Message: "Who you are could not be found out just now.", Next: "Try again in a minute.", Err: err}
			}
			return err
		}
		if who == nil {
			if c.Request().Method == "GET" && ui.FaceOf(c.Request()) == ui.Page {
				return c.Redirect(http.StatusSeeOther, "/sign-in?next="+url.QueryEscape(auth.LocalPath(c.Request().URL.RequestURI())))
			}
			return auth.ErrUnknown
		}
		ctx := auth.WithActor(c.Request().Context(), who)
		if r.Method == http.MethodGet && !r.Stream {
			ctx = store.OneLook(ctx)
		}
		c.SetRequest(c.Request().WithContext(ctx))
		ui.AllowCompression(c)
		if !who.May(r.Right) {
			err := backup.Errorf(backup.ErrDenied, "This needs the %s right, which %s does not have.", r.Right, who.Name)
			return errors.Join(err, s.auth.Record(c, "denied", r.Method+" "+c.Request().URL.Path, "refused", "needs "+r.Right.String()))
		}
		if r.Method == "GET" && who.May(auth.Operate) && ui.FaceOf(c.Request()) == ui.Page {
			c.SetRequest(c.Request().WithContext(auth.WithAlarm(c.Request().Context(), s.alarm(c.Request().Context()))))
		}
		return r.Handle(c)
	}
}

// alarm words what could not be told, for the head of every page.
func (s *Server) alarm(ctx context.Context) string {
	words, err := s.alarms.Get(ctx, s.cfg.Store, struct{}{}, s.cfg.Clock(), func(in *store.Store) (string, error) {
		list, err := in.Undelivered(ctx, alerts.FailingAfter, 100)
		if err != nil {
			return "", err
		}
		untold, err := in.Untold(ctx)
		var words []string
		if n := len(list); n > 0 {
			words = append(words, ui.Plural(int64(n), "alert is", "alerts are")+" undelivered.")
		}
		if untold > 0 {
			words = append(words, ui.Plural(int64(untold), "problem was", "problems were")+" told to nobody.")
		}
		return strings.Join(words, " "), err
	})
	if err != nil {
		return "" // the page itself will say what does not answer
	}
	return words
}
