package object

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// acceptEncoding is a header that the SDK signs and that servers and proxies
// before them rewrite, so that the signature would not match any more.
const acceptEncoding = "Accept-Encoding"

// keptEncoding is the key under which its value waits while the rest is signed.
type keptEncoding struct{}

// leaveEncodingUnsigned takes the header out of what is signed; it is sent all
// the same.
func leaveEncodingUnsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("patina:hold "+acceptEncoding, holdEncoding), "Signing", middleware.Before); err != nil {
			return err
		}
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("patina:restore "+acceptEncoding, restoreEncoding), "Signing", middleware.After)
	})
}

func holdEncoding(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	if req, ok := in.Request.(*smithyhttp.Request); ok {
		ctx = middleware.WithStackValue(ctx, keptEncoding{}, req.Header.Get(acceptEncoding))
		req.Header.Del(acceptEncoding)
	}
	return next.HandleFinalize(ctx, in)
}

func restoreEncoding(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	if req, ok := in.Request.(*smithyhttp.Request); ok {
		if v, _ := middleware.GetStackValue(ctx, keptEncoding{}).(string); v != "" {
			req.Header.Set(acceptEncoding, v)
		}
	}
	return next.HandleFinalize(ctx, in)
}
