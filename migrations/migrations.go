// Package migrations holds the numbered SQL that makes Patina's tables in
// Postgres. A file that has been released is never changed.
package migrations

import "embed"

// FS holds the migrations, for goose.
//
//go:embed *.sql
var FS embed.FS
