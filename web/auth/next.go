package auth

import (
	"net/url"
	"strings"
)

// LocalPath gives next where it is a path on this server, otherwise "/".
// Whatever a browser might take for another host is refused: a scheme, "//",
// a backslash, control characters.
func LocalPath(next string) string {
	if len(next) > 2048 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return "/"
	}
	for _, r := range next {
		if r <= ' ' || r == 0x7f || r == '\\' {
			return "/"
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(u.Path, "\\\r\n\t\x00") {
		return "/"
	}
	return next
}
