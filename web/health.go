package web

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/docs"
	"github.com/AutumnsGrove/Patina/web/metrics"
)

// readyTimeout bounds how long one look at what we need may take.
const readyTimeout = 5 * time.Second

// healthz is GET /healthz: the process lives. It asks nobody.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok", "version": s.cfg.Version})
}

// readyz is GET /readyz: whether Postgres, the schema, the bucket, the queue
// and its leader are as they must be. Why one is not stays in the log: this
// route is open to all.
func (s *Server) readyz(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	checks, status := map[string]string{}, http.StatusOK
	look := func(name string, err error) {
		checks[name] = "ok"
		if err != nil {
			checks[name], status = "failed", http.StatusServiceUnavailable
			s.cfg.Log.WarnContext(ctx, "not ready", "part", name, "error", err.Error())
		}
	}
	look("postgres", s.cfg.Store.Ping(ctx))
	look("migrations", s.migrated(ctx))
	look("bucket", s.bucketAnswers(ctx))
	queue, err := s.cfg.Store.QueueState(ctx, metrics.Alive)
	if err == nil && queue.Workers == 0 {
		err = backup.Errorf(backup.ErrUnavailable, "no worker has been heard of lately")
	}
	look("queue", err)
	if err == nil && !queue.Leader {
		err = backup.Errorf(backup.ErrUnavailable, "no worker leads the queue")
	}
	look("leader", err)
	return c.JSON(status, map[string]any{"status": map[bool]string{true: "ok", false: "failed"}[status == http.StatusOK], "checks": checks})
}

// bucketAnswers asks the bucket for the first of the objects under meta/.
func (s *Server) bucketAnswers(ctx context.Context) error {
	for _, err := range s.cfg.Bucket.List(ctx, "meta/") {
		return err
	}
	return nil
}

// openapi is GET /openapi.json.
func (s *Server) openapi(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/json", docs.OpenAPI)
}

// migrated tells whether every migration that this program knows has been
// applied. One of a newer program does no harm: it is rolling out beside us.
func (s *Server) migrated(ctx context.Context) error {
	list, err := s.cfg.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			return backup.Errorf(backup.ErrUnavailable, "migration %d has not been applied", m.Version)
		}
	}
	return nil
}
