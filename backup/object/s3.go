package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/AutumnsGrove/Patina/backup"
)

// s3Bucket is a bucket of S3 or R2.
type s3Bucket struct {
	client   *s3.Client
	name     string
	url      string // for people
	endpoint string // "" for AWS's own
	http     *patient
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	accountID  = regexp.MustCompile(`^[0-9A-Za-z]+$`)
)

// openR2 opens a bucket of Cloudflare R2; see
// https://developers.cloudflare.com/r2/api/s3/api/.
func openR2(_ context.Context, u *url.URL, cfg Config) (Bucket, error) {
	var problems []string
	for _, need := range [][2]string{{"CLOUDFLARE_ACCOUNT_ID", cfg.AccountID}, {"R2_ACCESS_KEY_ID", cfg.R2AccessKeyID}, {"R2_SECRET_ACCESS_KEY", cfg.R2SecretAccessKey}} {
		if need[1] == "" {
			problems = append(problems, "an r2:// bucket needs "+need[0])
		}
	}
	if cfg.AccountID != "" && !accountID.MatchString(cfg.AccountID) {
		problems = append(problems, "CLOUDFLARE_ACCOUNT_ID holds more than letters and digits")
	}
	if j := cfg.R2Jurisdiction; j != "" && j != "eu" && j != "fedramp" {
		problems = append(problems, "R2_JURISDICTION must be eu, fedramp or nothing")
	}
	if !bucketName.MatchString(u.Host) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		problems = append(problems, "an R2 bucket is written r2://bucket, in lower case and with nothing after it")
	}
	if len(problems) > 0 {
		return nil, bad("%s", strings.Join(problems, "; "))
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
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if name != "endpoint" && name != "region" {
			problems = append(problems, fmt.Sprintf("s3:// knows endpoint and region, not %q", name))
		}
	}
	if !bucketName.MatchString(u.Host) || strings.Trim(u.Path, "/") != "" {
		problems = append(problems, "an S3 bucket is written s3://bucket?endpoint=…&region=…, in lower case")
	}
	if endpoint != "" {
		if e, err := url.Parse(endpoint); err != nil || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Scheme != "http" && e.Scheme != "https" {
			problems = append(problems, "the endpoint is not an http or https URL without user and options")
		}
	}
	if len(problems) > 0 {
		return nil, bad("%s", strings.Join(problems, "; "))
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
	web := &patient{next: awshttp.NewBuildableClient(), limit: silence}
	if cfg.HTTPClient != nil {
		web.next = cfg.HTTPClient
	}
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
		// R2 sends no 100 Continue: each part would wait a second for it.
		o.ContinueHeaderThresholdBytes = -1
		leaveEncodingUnsigned(o)
		o.HTTPClient = web
	})
	return &s3Bucket{client, name, forPeople, endpoint, web}
}

func (b *s3Bucket) String() string { return b.url }

func (b *s3Bucket) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key}
	switch {
	case offset < 0:
		return nil, backup.Errorf(backup.ErrInvalid, "%s has no byte %d", key, offset)
	case length == 0:
		return b.openNothing(ctx, key, offset)
	case length > 0 && length <= math.MaxInt64-offset:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.client.GetObject(ctx, in)
	if err = b.fault("read "+key, err); errors.Is(err, backup.ErrInvalid) && offset == 0 {
		return b.openNothing(ctx, key, 0) // the first bytes of an empty object
	}
	if err != nil {
		return nil, err
	}
	return &s3Body{out.Body, b, key}, nil
}

// openNothing reads no bytes from offset, which HTTP has no words for.
func (b *s3Bucket) openNothing(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	i, err := b.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset > 0 && offset >= i.Size {
		return nil, backup.Errorf(backup.ErrInvalid, "%s has %d bytes, and byte %d was asked for", key, i.Size, offset)
	}
	return io.NopCloser(strings.NewReader("")), nil
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
	i, _, err := b.head(ctx, key)
	return i, err
}

// head describes an object and gives the token of the upload that made it.
func (b *s3Bucket) head(ctx context.Context, key string) (i Info, owner string, err error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return i, "", b.fault("look up "+key, err)
	}
	i = Info{Key: key, Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified).UTC(), ETag: aws.ToString(out.ETag)}
	return i, out.Metadata[ownerKey], nil
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
			if next := aws.ToString(out.NextContinuationToken); next == "" || next == aws.ToString(in.ContinuationToken) {
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
			key, id := aws.ToString(out.NextKeyMarker), aws.ToString(out.NextUploadIdMarker)
			if key == "" || key == aws.ToString(in.KeyMarker) && id == aws.ToString(in.UploadIdMarker) {
				yield(PendingUpload{}, backup.Errorf(backup.ErrUnavailable, "the list of uploads to %s ends in the middle", b.url))
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
