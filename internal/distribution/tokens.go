package distribution

import (
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// maxTokenBytes bounds what a token server answers.
const maxTokenBytes = 1 << 20

// authorizer answers the challenges of a host: with basic authentication, or a
// token from the server that it names.
func authorizer(client *http.Client, header http.Header, plain bool, secrets func(string) (string, string, error)) docker.Authorizer {
	tokens := &http.Client{Transport: tokenTransport{client.Transport, plain}, CheckRedirect: noRedirect}
	options := []docker.AuthorizerOpt{docker.WithAuthClient(tokens), docker.WithAuthCreds(secrets)}
	if len(header) > 0 {
		options = append(options, docker.WithAuthHeader(header))
	}
	return docker.NewDockerAuthorizer(options...)
}

// noRedirect keeps a password that is in the body of a request where it is.
func noRedirect(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("the token server %s redirects to %s, where the credentials are not for", via[0].URL.Host, req.URL.Host)
	}
	return nil
}

// tokenTransport is how token servers are asked: again if they are busy, for a
// short answer, and not in plain text unless the registry may be spoken to so.
type tokenTransport struct {
	next  http.RoundTripper
	plain bool
}

func (t tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	secret := req.Header.Get("Authorization") != "" || req.Method != http.MethodGet
	if secret && req.URL.Scheme != "https" && !t.plain {
		return nil, fmt.Errorf("the registry wants the credentials sent to %s without encryption; they were not", req.URL.Redacted())
	}
	for failed := 0; ; failed++ {
		out := req.Clone(req.Context())
		if req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			out.Body = body
		}
		resp, err := t.next.RoundTrip(out)
		wait, again := pause(failed, false, resp, err)
		if !again || failed > 1 {
			if err == nil {
				resp.Body = capped{io.LimitReader(resp.Body, maxTokenBytes), resp.Body}
			}
			return resp, err
		}
		if resp != nil {
			resp.Body.Close()
		}
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

type capped struct {
	io.Reader
	io.Closer
}
