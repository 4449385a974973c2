package distribution

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

const (
	// attempts is how often a request is answered when the registry asks who
	// it is: first without, then with the credentials.
	attempts = 2
	// maxTagsBytes bounds one page of tags, maxPages their number.
	maxTagsBytes = 4 << 20
	maxPages     = 1000
)

// Login checks credentials with the registry of a host. Unauthenticated if it
// refuses them.
func (c *Client) Login(ctx context.Context, host string, creds Credentials) error {
	hosts, err := c.hosts(ctx, host, creds)
	if err != nil {
		return err
	}
	h := hosts[len(hosts)-1]
	resp, err := c.ask(ctx, h, h.Path+"/")
	if err != nil {
		return explainLogin(ctx, host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf(
			"login to %s: it answered %s; is it a registry?", host, resp.Status))
	}
	return nil
}

func explainLogin(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if refused(err) {
		return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("login to %s: unauthorized: incorrect username or password", host))
	}
	return unreachable(err, "login to "+host, host)
}

// Tags lists the tags of the repository, in the registry's order.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	ctx = docker.WithScope(ctx, "repository:"+reference.Path(r.ref)+":pull")
	var tags []string
	path := r.host.Path + "/" + reference.Path(r.ref) + "/tags/list"
	for page := 0; path != "" && page < maxPages; page++ {
		resp, err := r.client.ask(ctx, r.host, path)
		if err != nil {
			if refused(err) {
				return nil, r.denied(nil, "pull")
			}
			return nil, r.explain(ctx, err, "list tags of")
		}
		more, next, err := r.page(resp)
		if err != nil {
			return nil, err
		}
		tags, path = append(tags, more...), next
	}
	return tags, nil
}

// page reads one page of tags and finds the next one.
func (r *Repository) page(resp *http.Response) (tags []string, next string, err error) {
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, "", errdefs.ErrNotFound.WithMessage("repository " + reference.FamiliarName(r.ref) + " not found")
	default:
		return nil, "", errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("list tags of %s: the registry answered %s", reference.FamiliarName(r.ref), resp.Status))
	}
	var list struct{ Tags []string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTagsBytes)).Decode(&list); err != nil {
		return nil, "", errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("list tags of %s: the registry's answer is no list: %v", reference.FamiliarName(r.ref), err))
	}
	link, rest, found := strings.Cut(resp.Header.Get("Link"), ">")
	if !found || !strings.Contains(rest, `rel="next"`) {
		return list.Tags, "", nil
	}
	to, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(link), "<"))
	if err != nil {
		return list.Tags, "", nil
	}
	return list.Tags, resp.Request.URL.ResolveReference(to).RequestURI(), nil
}

// ask sends a GET, again with credentials if the registry wants them.
func (c *Client) ask(ctx context.Context, h docker.RegistryHost, path string) (*http.Response, error) {
	var responses []*http.Response
	for range attempts {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.Scheme+"://"+h.Host+path, nil)
		if err != nil {
			return nil, err
		}
		req.Header = c.headers()
		if err := h.Authorizer.Authorize(ctx, req); err != nil {
			return nil, err
		}
		resp, err := h.Client.Do(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		resp.Body.Close()
		responses = append(responses, resp)
		if err := h.Authorizer.AddResponses(ctx, responses); err != nil {
			if errdefs.IsNotImplemented(err) { // it names no way to log in
				break
			}
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %s", docker.ErrInvalidAuthorization, path)
}
