package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/containerd/errdefs"
)

// answerWait is how long a server may take to begin its answer.
const answerWait = 60 * time.Second

// OpenAddress opens what is to be imported from http:// or https://; the caller
// closes it.
func OpenAddress(ctx context.Context, address string) (io.ReadCloser, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, invalid("import from %q: it is no address that begins with http:// or https://", address)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, invalid("import from %q: %v", address, err)
	}
	req.Header.Set("User-Agent", "berth")
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: answerWait, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("import: %v", err))
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("import from %s: the server answers %s", u.Redacted(), resp.Status))
	}
	return resp.Body, nil
}
