//go:build !unix

// Package embedded runs a Postgres of Patina's own; not on this system.
package embedded

import (
	"context"
	"log/slog"

	"github.com/AutumnsGrove/Patina/backup"
)

// Config says where the server would live.
type Config struct {
	Dir    string
	Log    *slog.Logger
	NoSync bool
	Bin    string
}

// Server is never made on this system.
type Server struct{}

// Start says that this system cannot.
func Start(context.Context, Config) (*Server, error) {
	return nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "the embedded Postgres does not run on this system", Next: Install()}
}

// Install is what to do instead.
func Install() string { return "Install Postgres and set DATABASE_URL." }

// URL is empty.
func (s *Server) URL() string { return "" }

// Shared is false.
func (s *Server) Shared() bool { return false }

// Stop does nothing.
func (s *Server) Stop(context.Context) error { return nil }
