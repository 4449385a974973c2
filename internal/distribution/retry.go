package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// longestWait is how long a registry may make one request wait that it
	// refused for now; one that wants more is told of.
	longestWait = 30 * time.Second
	// firstWait is the pause before the second attempt; each further one is
	// twice as long.
	firstWait = 200 * time.Millisecond
	// retries of a request; more where a registry cannot be reached in the middle
	// of a transfer: one that was there a moment ago is worth waiting for.
	retries, retriesMidway = 4, 6
)

// postponed is the error of a registry that said when to come back.
type postponed struct {
	error
	wait time.Duration
}

func (p postponed) Unwrap() error { return p.error }

// pause says whether what came of a request is worth another attempt after the
// failed ones there were, and how long to wait before it.
func pause(failed int, midway bool, resp *http.Response, err error) (wait time.Duration, again bool) {
	wait = firstWait << failed
	if err != nil && midway && unreached(err) {
		return wait, failed < retriesMidway
	}
	if failed >= retries {
		return 0, false
	}
	var token noToken
	if err != nil {
		return wait, broke(err) && !errors.As(err, &token)
	}
	if !passing(resp.StatusCode) {
		return 0, false
	}
	if asked, ok := retryAfter(resp.Header, time.Now()); ok {
		return max(asked, firstWait), asked <= longestWait
	}
	return wait, true
}

// passing says if a status is of a registry that may do better in a while.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header Retry-After: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return max(0, at.Sub(now)), true
}

// broke says if a connection ended that had begun.
func broke(err error) bool {
	var stream streamError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &stream) ||
		strings.Contains(err.Error(), "http2: server sent GOAWAY") || strings.Contains(err.Error(), "http2: client connection lost") // net/http has no types for these
}

// streamError is the end of one request over HTTP/2. net/http does not export
// its type, but lets errors.As fill any with the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (s streamError) Error() string { return fmt.Sprintf("stream error %d", s.Code) }

// unreached says if there was no connection.
func unreached(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
