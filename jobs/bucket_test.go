package jobs

import "github.com/AutumnsGrove/Patina/backup/object"

// bucket is embedded where a Bucket is asked for and none is used.
type bucket struct{ object.Bucket }
