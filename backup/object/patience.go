package object

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// silence is how long a store may say and take nothing before a request is
// given up. It bounds no transfer that moves, however slow.
const silence = time.Minute

// silentError ends a request to a store that went silent; the SDK tries again.
type silentError struct{}

func (silentError) Error() string { return "the bucket says nothing any more" }
func (silentError) Timeout() bool { return true }

// patient gives up requests that stand still. Neither Go's transport nor the SDK
// bounds the wait for an answer, or a body that stops in the middle.
type patient struct {
	next  aws.HTTPClient
	limit time.Duration
}

// Do implements aws.HTTPClient.
func (c *patient) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{ctx: ctx, cancel: cancel, limit: c.limit, timer: time.AfterFunc(c.limit, func() { cancel(silentError{}) })}
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = watchedRequest{r.Body, w}
	}
	res, err := c.next.Do(r)
	w.timer.Stop()
	if err != nil {
		err = w.explain(err)
		cancel(nil)
		return nil, err
	}
	res.Body = watchedResponse{res.Body, w}
	return res, nil
}

// watch is the timer of one request.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

// explain says so where err came of the silence.
func (w *watch) explain(err error) error {
	if errors.Is(context.Cause(w.ctx), silentError{}) {
		return silentError{}
	}
	return err
}

// watchedRequest starts the wait again with each piece that is sent.
type watchedRequest struct {
	io.ReadCloser
	w *watch
}

func (b watchedRequest) Read(p []byte) (int, error) {
	b.w.timer.Reset(b.w.limit)
	return b.ReadCloser.Read(p)
}

// watchedResponse waits only while somebody reads.
type watchedResponse struct {
	io.ReadCloser
	w *watch
}

func (b watchedResponse) Read(p []byte) (int, error) {
	b.w.timer.Reset(b.w.limit)
	n, err := b.ReadCloser.Read(p)
	b.w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.w.explain(err)
	}
	return n, err
}

func (b watchedResponse) Close() error {
	err := b.ReadCloser.Close()
	b.w.timer.Stop()
	b.w.cancel(nil)
	return err
}
