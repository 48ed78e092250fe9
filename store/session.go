package store

import "context"

// DeleteExpiredSessions removes the sessions of people whose time has run out.
// The sessions themselves are read and written by the web's session keeper.
func (s *Store) DeleteExpiredSessions(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "DELETE FROM sessions WHERE expiry < current_timestamp")
	return wrapErr("remove expired sessions", err)
}
