package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

const (
	// attempts is how often a request is answered when the registry asks who
	// it is: first without, then with the credentials.
	attempts = 2
	// maxRedirects is how many a request follows.
	maxRedirects = 10
)

// request is what is asked of a registry. It may be sent several times.
type request struct {
	method string
	path   string     // on the host, escaped
	query  url.Values // besides
	header http.Header
	scope  []string // of the token that the registry may want
	// body is opened for each attempt and has size bytes; nil is none.
	body func() io.Reader
	size int64
	// once leaves another attempt after a failure to the caller; midway is for
	// what belongs to a transfer that has begun.
	once, midway bool
}

// send sends a request until it has an answer of success, or gives up. The
// error has the status of the last answer.
func (c *Client) send(ctx context.Context, h docker.RegistryHost, q request) (*http.Response, error) {
	for _, s := range q.scope {
		ctx = docker.WithScope(ctx, s)
	}
	for failed := 0; ; failed++ {
		resp, err := c.authorized(ctx, h, q)
		wait, again := pause(failed, q.midway, resp, err)
		if !again || q.once {
			return succeeded(resp, err)
		}
		if resp != nil {
			resp.Body.Close()
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// succeeded makes an error of an answer that is not of success.
func succeeded(resp *http.Response, err error) (*http.Response, error) {
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	defer resp.Body.Close()
	err = remoteerrors.NewUnexpectedStatusErr(resp)
	if wait, ok := retryAfter(resp.Header, time.Now()); ok && passing(resp.StatusCode) {
		err = postponed{err, wait}
	}
	return nil, err
}

// authorized sends a request, again with credentials if the registry wants them.
func (c *Client) authorized(ctx context.Context, h docker.RegistryHost, q request) (*http.Response, error) {
	client := http.Client{CheckRedirect: redirect}
	if h.Client != nil {
		client.Transport = h.Client.Transport
	}
	var responses []*http.Response
	for {
		req, err := c.build(ctx, h, q)
		if err != nil {
			return nil, err
		}
		if h.Authorizer != nil {
			if err := h.Authorizer.Authorize(ctx, req); err != nil {
				return nil, noToken{err}
			}
		}
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || h.Authorizer == nil {
			return resp, err
		}
		responses = append(responses, resp)
		if len(responses) == attempts {
			return resp, nil
		}
		if err := h.Authorizer.AddResponses(ctx, responses); err != nil {
			if errdefs.IsNotImplemented(err) { // it names no way to log in
				return resp, nil
			}
			resp.Body.Close()
			return nil, err
		}
		resp.Body.Close()
	}
}

func (c *Client) build(ctx context.Context, h docker.RegistryHost, q request) (*http.Request, error) {
	target := h.Scheme + "://" + h.Host + q.path
	if len(q.query) > 0 {
		separator := "?"
		if strings.Contains(q.path, "?") {
			separator = "&"
		}
		target += separator + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("make a request to registry %s: %w", h.Host, err)
	}
	req.Header.Set("Accept-Encoding", "identity") // blobs are wanted as they are
	for _, header := range []http.Header{h.Header, c.headers(), q.header} {
		for key, values := range header {
			req.Header[http.CanonicalHeaderKey(key)] = values
		}
	}
	if q.body != nil {
		req.ContentLength = q.size
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(q.body()), nil }
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
		if q.size == 0 {
			req.Body = http.NoBody
		}
	}
	return req, nil
}

// redirect follows a registry to where its blobs are, without what is only for
// the registry: net/http would take it to other ports and to subdomains, too.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return errors.New("the registry redirects in a circle")
	}
	first := via[0].URL
	if !strings.EqualFold(req.URL.Host, first.Host) || first.Scheme == "https" && req.URL.Scheme != "https" {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return nil
}

// noToken is the error of one who was not let in: the authorizer keeps it, so
// another attempt is of no use.
type noToken struct{ error }

func (n noToken) Unwrap() error { return n.error }

// status is that of a registry's refusal; 0 is another error.
func status(err error) int {
	var refusal remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &refusal) {
		return refusal.StatusCode
	}
	return 0
}
