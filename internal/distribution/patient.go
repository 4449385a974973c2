package distribution

import (
	"net/http"
	"strconv"
	"time"
)

// longestWait is how long a registry that limits the rate may make a request
// wait; one that wants more is told of.
const longestWait = 10 * time.Second

// patient waits for as long as a busy registry asks before it hands on the
// refusal; the resolver then repeats the request a few times.
type patient struct{ next http.RoundTripper }

func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests {
		return resp, err
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	wait := time.Duration(seconds) * time.Second
	if err != nil || wait <= 0 || wait > longestWait {
		return resp, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return resp, nil
	case <-req.Context().Done():
		resp.Body.Close()
		return nil, req.Context().Err()
	}
}
