// Package client speaks the Docker Engine HTTP API over one socket.
//
// A call is a method, a path below the version ("/containers/x/json"), a query
// and a body; answers that are errors become *Error with the engine's own
// message. The newest version is asked for at first; an engine that is older
// says so and is spoken to in its own version from then on. Nothing is kept
// outside the process, so a crash leaves nothing behind.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
)

// NewestVersion is the API that this client was written for.
const NewestVersion = "1.56"

// Client is safe for concurrent use.
type Client struct {
	http    *http.Client
	dial    func(ctx context.Context) (net.Conn, error)
	host    string // of the Host header
	version atomic.Pointer[string]
}

// New returns a client whose connections dial makes. The connection carries
// plain HTTP/1.1: TLS, if any, is dial's.
func New(host string, dial func(ctx context.Context) (net.Conn, error)) *Client {
	c := &Client{dial: dial, host: host}
	newest := NewestVersion
	c.version.Store(&newest)
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Version is the API version that is spoken now.
func (c *Client) Version() string { return *c.version.Load() }

// Error is an answer that is not a success.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return "Error response from daemon: " + e.Message }

// IsStatus is whether err is an answer with that HTTP status.
func IsStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// Get decodes the answer's JSON into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, out)
}

// Post sends in, if not nil, as JSON and decodes the answer's into out, if not nil.
func (c *Client) Post(ctx context.Context, path string, query url.Values, in, out any) error {
	return c.call(ctx, http.MethodPost, path, query, in, out)
}

// Delete decodes the answer's JSON into out, if not nil.
func (c *Client) Delete(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodDelete, path, query, nil, out)
}

// Remove deletes; with force, what is not there is no error.
func (c *Client) Remove(ctx context.Context, path string, query url.Values, force bool) error {
	err := c.Delete(ctx, path, query, nil)
	if force && IsStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	header := http.Header{}
	if in != nil {
		header.Set("Content-Type", "application/json")
	}
	answer, err := c.retry(ctx, method, path, query, header, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, answer)
	} else {
		err = json.NewDecoder(answer).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read the engine's answer to %s %s: %w", method, path, err)
	}
	return nil
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return b, nil
}

// Stream returns the answer's body as it comes; the caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, query url.Values, header http.Header) (io.ReadCloser, error) {
	return c.retry(ctx, method, path, query, header, nil)
}

// Upload sends body, which can be sent only once, and returns the answer's body.
func (c *Client) Upload(ctx context.Context, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	return c.Send(ctx, path, query, http.Header{}, body)
}

// Send is Upload with a header.
func (c *Client) Send(ctx context.Context, path string, query url.Values, header http.Header, body io.Reader) (io.ReadCloser, error) {
	if err := c.negotiate(ctx); err != nil {
		return nil, err
	}
	header.Set("Content-Type", "application/x-tar")
	return c.send(ctx, http.MethodPost, path, query, header, body)
}

// SendJSON posts in and returns the answer's body as it comes; the caller closes it.
func (c *Client) SendJSON(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	return c.retry(ctx, http.MethodPost, path, nil, http.Header{"Content-Type": {"application/json"}}, body)
}

// Head returns the header of the answer.
func (c *Client) Head(ctx context.Context, path string, query url.Values) (http.Header, error) {
	body, header, err := c.exchange(ctx, http.MethodHead, path, query)
	if err != nil {
		return nil, err
	}
	return header, body.Close()
}

// Download returns the answer's body as it comes, which the caller closes, and
// its header.
func (c *Client) Download(ctx context.Context, path string, query url.Values) (io.ReadCloser, http.Header, error) {
	return c.exchange(ctx, http.MethodGet, path, query)
}

func (c *Client) exchange(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, http.Header, error) {
	resp, err := c.do(ctx, method, path, query, nil, nil)
	if c.tooNew(err) {
		resp, err = c.do(ctx, method, path, query, nil, nil)
	}
	if err != nil {
		return nil, nil, err
	}
	return resp.Body, resp.Header, nil
}

// Put sends body, which can be sent only once.
func (c *Client) Put(ctx context.Context, path string, query url.Values, body io.Reader) error {
	if err := c.negotiate(ctx); err != nil {
		return err
	}
	answer, err := c.send(ctx, http.MethodPut, path, query, http.Header{"Content-Type": {"application/x-tar"}}, body)
	if err != nil {
		return err
	}
	return answer.Close()
}

// negotiate finds the version before a request that cannot be repeated.
func (c *Client) negotiate(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.host+"/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	c.lower(resp.Header.Get("Api-Version"))
	return nil
}

// retry sends a request that can be repeated in an older version.
func (c *Client) retry(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (io.ReadCloser, error) {
	answer, err := c.send(ctx, method, path, query, header, bytes.NewReader(body))
	if c.tooNew(err) {
		return c.send(ctx, method, path, query, header, bytes.NewReader(body))
	}
	return answer, err
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (io.ReadCloser, error) {
	resp, err := c.do(ctx, method, path, query, header, body)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := c.request(ctx, method, path, query, header, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotModified {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Request, error) {
	target := "http://" + c.host + "/v" + c.Version() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request %s %s: %w", method, path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "berth")
	return req, nil
}

const errorBytes = 1 << 20

func readError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, errorBytes))
	if err != nil {
		return fmt.Errorf("read the engine's answer: %w", err)
	}
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(b, &m) != nil || m.Message == "" {
		m.Message = strings.TrimSpace(string(b))
	}
	if m.Message == "" {
		m.Message = resp.Status
	}
	return &Error{Status: resp.StatusCode, Message: m.Message}
}

// tooNew is whether err says that the engine is older; the next request is in
// the engine's version.
func (c *Client) tooNew(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest || !strings.Contains(e.Message, "too new") {
		return false
	}
	supported := regexp.MustCompile(`[Mm]aximum supported API version is (\d+\.\d+)`).FindStringSubmatch(e.Message)
	return supported != nil && c.lower(supported[1])
}

func (c *Client) lower(version string) bool {
	if !older(version, c.Version()) {
		return false
	}
	c.version.Store(&version)
	return true
}

// older compares versions such as "1.44".
func older(a, b string) bool {
	var am, an, bm, bn int
	if n, _ := fmt.Sscanf(a, "%d.%d", &am, &an); n != 2 {
		return false
	}
	if n, _ := fmt.Sscanf(b, "%d.%d", &bm, &bn); n != 2 {
		return false
	}
	return am < bm || am == bm && an < bn
}

// plain takes the URL, which means nothing to the user, off an error.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Ref makes a user's name or ID safe in a path; slashes stay.
func Ref(s string) string { return strings.ReplaceAll(url.PathEscape(s), "%2F", "/") }
