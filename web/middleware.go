package web

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/static"
	"github.com/AutumnsGrove/Patina/web/auth"
)

// maxBody is the largest request body that is read: a form, or a list of
// database names.
const maxBody = 1 << 20

// policy lets a page use its own style sheet, scripts and pictures, and talk
// to this server; nothing inline, nothing from elsewhere, in no one's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers sets what every answer carries, whoever gets it.
func (s *Server) headers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()")
		h.Set("Cache-Control", "no-store")
		h.Add("Vary", "Accept, HX-Request, HX-Request-Type")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		return next(c)
	}
}

// number gives every request a number of its own and logs how it went:
// without its query, which may hold what nobody should read again.
func (s *Server) number(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := rand.Text()
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		start := s.cfg.Clock()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		if strings.HasPrefix(c.Request().URL.Path, static.Prefix) || c.Path() == "/healthz" || c.Path() == "/readyz" || c.Path() == "/metrics" {
			return nil
		}
		actor := ""
		if a := auth.Of(c); a != nil {
			actor = a.Name
		}
		s.cfg.Log.InfoContext(c.Request().Context(), "request", "request_id", id, "method", c.Request().Method,
			"path", c.Request().URL.Path, "status", c.Response().Status, "bytes", c.Response().Size,
			"duration_ms", s.cfg.Clock().Sub(start).Milliseconds(), "actor", actor, "ip", c.RealIP())
		return nil
	}
}

// recover turns a panic into an answer. What was panicked with is logged only
// where the runtime worded it: anything else might hold a value of somebody's.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // panicked with as it is
				panic(v)
			}
			what := fmt.Sprintf("%T", v)
			if e, ok := v.(runtime.Error); ok {
				what = e.Error()
			}
			s.cfg.Log.ErrorContext(c.Request().Context(), "panic", "path", c.Request().URL.Path, "error", what, "stack", string(debug.Stack()))
			err = echo.NewHTTPError(http.StatusInternalServerError)
		}()
		return next(c)
	}
}

// plainPath refuses, as not found, a path that says something other than it
// seems to: encoded separators, percent signs, NULs, dot segments. After it
// the decoded path is the path.
func plainPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		if !isPlain(u.EscapedPath(), u.Path) {
			return echo.ErrNotFound
		}
		u.RawPath = ""
		return next(c)
	}
}

func isPlain(escaped, path string) bool {
	lower := strings.ToLower(escaped)
	for _, code := range []string{"%2f", "%5c", "%25", "%00", "%2e"} {
		if strings.Contains(lower, code) {
			return false
		}
	}
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path, `\`) || !utf8.ValidString(path) {
		return false
	}
	for _, r := range path {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// sameSite refuses what another site makes a browser send.
func (s *Server) sameSite(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := s.cross.Check(c.Request()); err != nil {
			return echo.NewHTTPError(http.StatusForbidden, "This came from another site, so nothing was done.")
		}
		return next(c)
	}
}

// bounded limits how much of a body is read.
func bounded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength > maxBody {
			return echo.NewHTTPError(http.StatusRequestEntityTooLarge, "A request has at most 1 MiB.")
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		return next(c)
	}
}

// deadline gives an ordinary answer a minute to be written. Streams and
// downloads set their own.
func deadline(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// Not every writer has one (a test's recorder), and none is needed there.
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(time.Minute))
		return next(c)
	}
}

// clientIP gives the address of whoever asks: the peer's, or, where the peer
// is a proxy we trust, the last address in X-Forwarded-For that is not.
func clientIP(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		p = p.Masked()
		bits := 32
		if p.Addr().Is6() {
			bits = 128
		}
		options = append(options, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), bits)}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}
