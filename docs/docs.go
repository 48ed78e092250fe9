// Package docs holds the written part of Patina that the program itself shows:
// the manual, the runbook, the restore guides and the description of the HTTP
// interface.
//
// It owns the texts alone: what renders and fills them is web/manual.
package docs

import "embed"

// Guides are the templates of the guides, under guide/.
//
//go:embed guide/*.md
var Guides embed.FS

// Manual is every page of the manual, NAME.md, and the files that they lead to.
//
//go:embed *.md *.toml *.yml *.schema.json
var Manual embed.FS

// OpenAPI describes the JSON face of the HTTP interface, as OpenAPI 3.1.
//
//go:embed openapi.json
var OpenAPI []byte

// WebhookSchema describes what a webhook receives, as JSON Schema.
//
//go:embed webhook.schema.json
var WebhookSchema []byte
