package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// bucketReadme tells a stranger what the bucket is.
//
//go:embed bucket.txt
var bucketReadme string

// explainBucket puts README.txt into the bucket where it is missing or old.
func explainBucket(ctx context.Context, b object.Bucket) error {
	body, err := b.Open(ctx, object.ReadmeKey, 0, -1)
	switch {
	case err == nil:
		defer body.Close()
		text, err := io.ReadAll(io.LimitReader(body, 1<<20))
		if err == nil && string(text) == bucketReadme {
			return nil
		}
	case !errors.Is(err, backup.ErrNotFound):
		return fmt.Errorf("read %s: %w", object.ReadmeKey, err)
	}
	return b.Replace(ctx, object.ReadmeKey, []byte(bucketReadme), "text/plain; charset=utf-8")
}
