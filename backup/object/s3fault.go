package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/AutumnsGrove/Patina/backup"
)

// rights names the right that each request needs, as S3 calls it.
var rights = map[string]string{
	"GetObject": "s3:GetObject", "HeadObject": "s3:GetObject", "DeleteObject": "s3:DeleteObject",
	"PutObject": "s3:PutObject", "CreateMultipartUpload": "s3:PutObject", "UploadPart": "s3:PutObject", "CompleteMultipartUpload": "s3:PutObject",
	"AbortMultipartUpload": "s3:AbortMultipartUpload", "ListObjectsV2": "s3:ListBucket", "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}

// fault gives an error of the service its kind and, for a missing right, words.
// That the whole bucket is missing is ErrUnavailable: it says nothing about the
// object that was asked for. (A HEAD has no body, and cannot tell the two apart.)
func (b *s3Bucket) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", what, err)
	}
	e := &backup.Error{Kind: backup.ErrUnavailable, Message: b.url, Err: short(err)}
	var status *smithyhttp.ResponseError
	code := 0
	if errors.As(err, &status) {
		code = status.HTTPStatusCode()
	}
	var apiErr smithy.APIError
	name := ""
	if errors.As(err, &apiErr) {
		name = apiErr.ErrorCode()
	}
	switch {
	case name == "NoSuchBucket":
		e.Message, e.Next = "there is no bucket "+b.url, "make the bucket, or correct PATINA_BUCKET"
	case code == http.StatusForbidden || code == http.StatusUnauthorized || name == "ExpiredToken" || name == "InvalidToken":
		e.Kind, e.Next = backup.ErrDenied, denied(name, err)
	case code == http.StatusNotFound:
		e.Kind = backup.ErrNotFound
	case code == http.StatusPreconditionFailed || code == http.StatusConflict:
		e.Kind = backup.ErrConflict
	case code == http.StatusRequestedRangeNotSatisfiable:
		e.Kind = backup.ErrInvalid
	case code == http.StatusBadRequest && name != "RequestTimeout":
		e.Kind = backup.ErrInvalid
	}
	return fmt.Errorf("%s: %w", what, e)
}

// denied says what to do about a refusal with this code.
func denied(name string, err error) string {
	switch name {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return "check the bucket's access key and its secret: one of them is not valid"
	case "RequestTimeTooSkewed":
		return "set this machine's clock: the bucket refuses requests that are signed with another time"
	}
	next := "check that the bucket's key is valid"
	var op *smithy.OperationError
	if errors.As(err, &op) && rights[op.Operation()] != "" {
		next += " and has the right " + rights[op.Operation()]
	}
	return next + " (on R2: a token with Object Read & Write for this bucket)"
}

// short takes the service's own words out of the SDK's, which name hosts and
// request ids.
func short(err error) error {
	var apiErr smithy.APIError
	if errors.As(err, &apiErr) {
		return fmt.Errorf("%s: %s", apiErr.ErrorCode(), apiErr.ErrorMessage())
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
