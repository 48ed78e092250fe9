package ui

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
)

// IdempotencyKey reads the header: at most 255 visible ASCII characters.
func IdempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 255 || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", backup.Errorf(backup.ErrInvalid, "an Idempotency-Key has at most 255 visible ASCII characters")
	}
	return key, nil
}

// BodyError tells why a request's body could not be read.
func BodyError(err error) error {
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return echo.NewHTTPError(http.StatusRequestEntityTooLarge, "A request has at most 1 MiB.")
	}
	return backup.Errorf(backup.ErrInvalid, "the request was cut off")
}
