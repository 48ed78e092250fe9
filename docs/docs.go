// Package docs holds the written part of Patina that the program itself shows:
// the restore guides and the description of the HTTP interface.
package docs

import "embed"

// Guides are the templates of the guides, under guide/.
//
//go:embed guide/*.md
var Guides embed.FS

// OpenAPI describes the JSON face of the HTTP interface, as OpenAPI 3.1.
//
//go:embed openapi.json
var OpenAPI []byte

// WebhookSchema describes what a webhook receives, as JSON Schema.
//
//go:embed webhook.schema.json
var WebhookSchema []byte
