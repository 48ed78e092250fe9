package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
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

// Fields reads a form, or a JSON object of texts, numbers and booleans, and
// tells which of them it was. What lists names may have more than one value: in
// JSON an array of texts.
func Fields(c echo.Context, lists ...string) (v url.Values, form bool, err error) {
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return nil, false, BodyError(err)
	}
	media, _, _ := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	out := url.Values{}
	switch media {
	case echo.MIMEApplicationForm:
		if out, err = url.ParseQuery(string(body)); err != nil {
			return nil, false, backup.Errorf(backup.ErrInvalid, "The form cannot be read.")
		}
	case echo.MIMEApplicationJSON, "":
		in := map[string]any{}
		if len(body) > 0 {
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, false, backup.Errorf(backup.ErrInvalid, "The body is a JSON object.")
			}
		}
		for k, x := range in {
			list, isList := x.([]any)
			switch x.(type) {
			case string, bool, float64:
				out.Set(k, fmt.Sprint(x))
			case nil:
			default:
				if isList && slices.Contains(lists, k) && addTexts(out, k, list) {
					continue
				}
				return nil, false, backup.Errorf(backup.ErrInvalid, "%s: a text, a number or a boolean.", Name(k))
			}
		}
	default:
		return nil, false, echo.NewHTTPError(http.StatusUnsupportedMediaType, "The body is JSON or a form.")
	}
	for _, vs := range out {
		if err := CheckText(vs...); err != nil {
			return nil, false, err
		}
	}
	return out, media == echo.MIMEApplicationForm, nil
}

// addTexts adds the texts of a JSON array; false where it holds something else.
func addTexts(v url.Values, key string, list []any) bool {
	for _, x := range list {
		text, ok := x.(string)
		if !ok {
			return false
		}
		v.Add(key, text)
	}
	return true
}
