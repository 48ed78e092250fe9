package object

import "time"

// SetSilence sets how long a test's S3 bucket waits for a silent server.
func SetSilence(b Bucket, limit time.Duration) { b.(*s3Bucket).http.limit = limit }
