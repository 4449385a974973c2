package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// The first words of a test that starts no process: Test is then
// ["HTTP", address, statuses …] or ["TCP", address].
const (
	WordHTTP = "HTTP"
	WordTCP  = "TCP"
)

// Labels that say the same, for clients that know only Docker's words; the value
// is what follows the word, separated by spaces.
const (
	LabelHTTP = "berth.health.http"
	LabelTCP  = "berth.health.tcp"
)

// Target is what such a probe asks, in the network of the container.
type Target struct {
	Address netip.AddrPort
	url     *url.URL // nil: to connect is enough
	good    []span
}

// span is a range of HTTP statuses.
type span struct{ first, last int }

// Parse reads a test of HTTP or TCP; InvalidArgument says what is wrong.
func Parse(test []string) (Target, error) {
	if len(test) < 2 {
		return Target{}, invalid("the health check %s needs an address such as 8080/healthz or 127.0.0.1:8080", test[0])
	}
	if test[0] == WordTCP {
		if len(test) > 2 {
			return Target{}, invalid("the health check TCP takes one address, not %q", test[1:])
		}
		u, err := locate("tcp://" + complete(test[1]))
		if err == nil && (u.Path != "" || u.Port() == "") {
			err = invalid("the health check's address %q must be a port, or an address and a port", test[1])
		}
		if err != nil {
			return Target{}, err
		}
		return target(u, nil)
	}
	text := test[1]
	if !strings.Contains(text, "://") {
		text = "http://" + complete(text)
	}
	u, err := locate(text)
	if err != nil {
		return Target{}, err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return Target{}, invalid("the health check's scheme %q must be http or https", u.Scheme)
	}
	good, err := statuses(test[2:])
	if err != nil {
		return Target{}, err
	}
	return target(u, good)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// complete puts the container itself before a port or a path alone.
func complete(text string) string {
	switch {
	case strings.HasPrefix(text, ":") || strings.HasPrefix(text, "/") || text == "":
		return "127.0.0.1" + text
	case strings.Trim(strings.SplitN(text, "/", 2)[0], "0123456789") == "":
		return "127.0.0.1:" + text
	}
	return text
}

func locate(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, invalid("the health check's address: %s", err)
	}
	if u.User != nil || u.Fragment != "" {
		return nil, invalid("the health check's address %q must have neither a user nor a fragment", text)
	}
	return u, nil
}

func target(u *url.URL, good []span) (Target, error) {
	host, port := u.Hostname(), u.Port()
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return Target{}, invalid("the health check's host %q is not an address: the probe asks from inside the container, use 127.0.0.1", host)
	}
	switch {
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Target{}, invalid("the health check's port %q must be from 1 to 65535", port)
	}
	t := Target{Address: netip.AddrPortFrom(addr.Unmap(), uint16(n)), good: good}
	if u.Scheme != "tcp" {
		t.url = u
		if u.Hostname() == "" {
			u.Host = t.Address.String()
		}
	}
	return t, nil
}

// statuses reads words such as 200-299 and 401,403; none is 200-399.
func statuses(words []string) ([]span, error) {
	if len(words) == 0 {
		return []span{{200, 399}}, nil
	}
	var all []span
	for _, word := range strings.Split(strings.Join(words, ","), ",") {
		from, to, isRange := strings.Cut(word, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, lastErr := strconv.Atoi(to)
		if err != nil || lastErr != nil || first < 100 || last > 599 || first > last {
			return nil, invalid("the health check's status %q must be one such as 204 or a range such as 200-299", word)
		}
		all = append(all, span{first, last})
	}
	return all, nil
}

// Dial connects in the network of the container.
type Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

// Probe asks once. A redirect is an answer like any other; a certificate is not
// checked.
func (t Target) Probe(ctx context.Context, dial Dial) (code int, output string) {
	if t.url == nil {
		conn, err := dial(ctx, t.Address)
		if err != nil {
			return 1, err.Error()
		}
		conn.Close()
		return 0, "connected to " + t.Address.String()
	}
	client := http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as of a process in the container itself
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, t.Address) }}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), nil)
	if err != nil {
		return 1, err.Error()
	}
	q.Header.Set("User-Agent", "berth-health")
	answer, err := client.RoundTrip(q)
	if err != nil {
		return 1, fmt.Sprintf("GET %s: %s", t.url, err)
	}
	defer answer.Body.Close()
	// What was read before a body broke is what there is to show.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, MaxOutput))
	code = 1
	for _, s := range t.good {
		if answer.StatusCode >= s.first && answer.StatusCode <= s.last {
			code = 0
		}
	}
	return code, strings.ToValidUTF8(fmt.Sprintf("GET %s: %s\n%s", t.url, answer.Status, body), "\ufffd")
}
