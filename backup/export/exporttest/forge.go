package exporttest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
)

var (
	bodyBytes = regexp.MustCompile(`body-bytes: \d+`)
	bodyHash  = regexp.MustCompile(`-- body-sha256: [0-9a-f]{64}`)
)

// Forge puts statements before the end of a dump's body and makes its hashes
// and sizes right again, as whoever can write to a bucket could.
func Forge(dump []byte, statements string) ([]byte, error) {
	const first, last = "PRAGMA foreign_keys=OFF;\n", "COMMIT;\nPRAGMA foreign_keys=ON;\n"
	start, end := bytes.Index(dump, []byte(first)), bytes.LastIndex(dump, []byte(last))
	file := bytes.LastIndex(dump, []byte("-- file-sha256: "))
	if start < 0 || end < 0 || file < 0 {
		return nil, errors.New("not a dump")
	}
	body := append(bytes.Clone(dump[start:end]), statements+last...)
	footer := dump[end+len(last) : file]
	footer = bodyBytes.ReplaceAll(footer, fmt.Appendf(nil, "body-bytes: %d", len(body)))
	footer = bodyHash.ReplaceAll(footer, fmt.Appendf(nil, "-- body-sha256: %x", sha256.Sum256(body)))
	out := append(append(bytes.Clone(dump[:start]), body...), footer...)
	return fmt.Appendf(out, "-- file-sha256: %x\n", sha256.Sum256(out)), nil
}
