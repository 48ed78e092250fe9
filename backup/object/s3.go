package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/AutumnsGrove/Patina/backup"
)

// s3Bucket is a bucket of S3 or R2.
type s3Bucket struct {
	client *s3.Client
	name   string
	url    string // for people
}

// openR2 opens a bucket of Cloudflare R2; see
// https://developers.cloudflare.com/r2/api/s3/api/.
func openR2(_ context.Context, u *url.URL, cfg Config) (Bucket, error) {
	var missing []string
	for name, v := range map[string]string{"CLOUDFLARE_ACCOUNT_ID": cfg.AccountID, "R2_ACCESS_KEY_ID": cfg.R2AccessKeyID, "R2_SECRET_ACCESS_KEY": cfg.R2SecretAccessKey} {
		if v == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, bad("an r2:// bucket needs %s", strings.Join(missing, ", "))
	}
	if u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, bad("an R2 bucket is written r2://bucket, with nothing after it")
	}
	host := cfg.AccountID
	if cfg.R2Jurisdiction != "" {
		host += "." + cfg.R2Jurisdiction
	}
	aw := aws.Config{
		Region:      "auto",
		Credentials: credentials.NewStaticCredentialsProvider(cfg.R2AccessKeyID, cfg.R2SecretAccessKey, ""),
	}
	return newS3(aw, u.Host, "r2://"+u.Host, "https://"+host+".r2.cloudflarestorage.com", cfg), nil
}

// openS3URL opens a bucket of S3, or of a server that speaks its protocol. The
// credentials are those of the AWS chain.
func openS3URL(ctx context.Context, u *url.URL, cfg Config) (Bucket, error) {
	q := u.Query()
	endpoint := q.Get("endpoint")
	for name := range q {
		if name != "endpoint" && name != "region" {
			return nil, bad("s3:// knows endpoint and region, not %q", name)
		}
	}
	if u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, bad("an S3 bucket is written s3://bucket?endpoint=…&region=…")
	}
	if endpoint != "" {
		if e, err := url.Parse(endpoint); err != nil || e.Host == "" || e.User != nil || e.Scheme != "http" && e.Scheme != "https" {
			return nil, bad("the endpoint is not an http or https URL")
		}
	}
	var opts []func(*config.LoadOptions) error
	if r := q.Get("region"); r != "" {
		opts = append(opts, config.WithRegion(r))
	} else if endpoint != "" {
		opts = append(opts, config.WithRegion("us-east-1"))
	}
	if cfg.R2AccessKeyID != "" && endpoint != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(cfg.R2AccessKeyID, cfg.R2SecretAccessKey, "")))
	}
	aw, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, bad("the AWS configuration cannot be read: %v", err)
	}
	return newS3(aw, u.Host, "s3://"+u.Host, endpoint, cfg), nil
}

func newS3(aw aws.Config, name, forPeople, endpoint string, cfg Config) Bucket {
	client := s3.NewFromConfig(aw, func(o *s3.Options) {
		// R2 does not know the checksums that the SDK adds by default.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = 4, 5*time.Second
			r.Retryables = append(r.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
		})
		if endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = aws.String(endpoint), true
		}
		if cfg.HTTPClient != nil {
			o.HTTPClient = cfg.HTTPClient
		}
	})
	return &s3Bucket{client, name, forPeople}
}

func (b *s3Bucket) String() string { return b.url }

// fault gives an error of the service its kind and, for a missing right, words.
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
		e.Kind, e.Next = backup.ErrNotFound, "make the bucket, or correct PATINA_BUCKET"
		e.Message = "there is no bucket " + b.url
	case code == http.StatusNotFound:
		e.Kind = backup.ErrNotFound
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		e.Kind, e.Next = backup.ErrDenied, "check that the bucket's key is valid and may read, write, list and delete objects of this bucket"
	case code == http.StatusPreconditionFailed || code == http.StatusConflict:
		e.Kind = backup.ErrConflict
	case code == http.StatusRequestedRangeNotSatisfiable:
		e.Kind = backup.ErrInvalid
	case code == http.StatusBadRequest:
		e.Kind = backup.ErrInvalid
	}
	return fmt.Errorf("%s: %w", what, e)
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

func (b *s3Bucket) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key}
	switch {
	case offset < 0:
		return nil, backup.Errorf(backup.ErrInvalid, "%s has no byte %d", key, offset)
	case length == 0:
		if _, err := b.Stat(ctx, key); err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader("")), nil
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, b.fault("read "+key, err)
	}
	return &s3Body{out.Body, b, key}, nil
}

// s3Body gives errors in the middle of an object their kind.
type s3Body struct {
	io.ReadCloser
	b   *s3Bucket
	key string
}

func (r *s3Body) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.b.fault("read "+r.key, err)
	}
	return n, err
}

func (b *s3Bucket) Stat(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return Info{}, b.fault("look up "+key, err)
	}
	return Info{Key: key, Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified).UTC(), ETag: aws.ToString(out.ETag)}, nil
}

func (b *s3Bucket) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
		for {
			out, err := b.client.ListObjectsV2(ctx, in)
			if err != nil {
				yield(Info{}, b.fault("list "+prefix, err))
				return
			}
			for _, o := range out.Contents {
				if !yield(Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified).UTC(), ETag: aws.ToString(o.ETag)}, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(Info{}, backup.Errorf(backup.ErrUnavailable, "the list of %s ends in the middle", b.url))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

func (b *s3Bucket) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	if err = b.fault("delete "+key, err); errors.Is(err, backup.ErrNotFound) {
		return nil
	}
	return err
}

func (b *s3Bucket) Replace(ctx context.Context, key string, body []byte, contentType string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: newBody(body), ContentLength: aws.Int64(int64(len(body))), ContentType: &contentType})
	return b.fault("store "+key, err)
}

func (b *s3Bucket) Uploads(ctx context.Context) iter.Seq2[PendingUpload, error] {
	return func(yield func(PendingUpload, error) bool) {
		in := &s3.ListMultipartUploadsInput{Bucket: &b.name}
		for {
			out, err := b.client.ListMultipartUploads(ctx, in)
			if err != nil {
				yield(PendingUpload{}, b.fault("list uploads", err))
				return
			}
			for _, u := range out.Uploads {
				if !yield(PendingUpload{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId), Started: aws.ToTime(u.Initiated).UTC()}, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		}
	}
}

func (b *s3Bucket) AbortUpload(ctx context.Context, u PendingUpload) error {
	_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &u.Key, UploadId: &u.ID})
	if err = b.fault("abort the upload of "+u.Key, err); errors.Is(err, backup.ErrNotFound) {
		return nil
	}
	return err
}

// completed lists the parts of an upload, in order.
func completed(etags []string) *types.CompletedMultipartUpload {
	parts := make([]types.CompletedPart, len(etags))
	for i := range etags {
		parts[i] = types.CompletedPart{ETag: &etags[i], PartNumber: aws.Int32(int32(i + 1))}
	}
	return &types.CompletedMultipartUpload{Parts: parts}
}

// multipartETag is what S3 and R2 give an object of several parts: the MD5 of
// the parts' MD5s, and their number.
func multipartETag(sum string, parts int) string { return `"` + sum + "-" + strconv.Itoa(parts) + `"` }
