package distribution

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

const (
	// maxTagsBytes bounds one page of tags, maxPages and maxTags their number.
	maxTagsBytes = 4 << 20
	maxPages     = 10_000
	maxTags      = 1_000_000
)

// Login checks credentials with the registry of a host. Unauthenticated if it
// refuses them.
func (c *Client) Login(ctx context.Context, host string, creds Credentials) error {
	hosts, err := c.hosts(ctx, host, creds)
	if err != nil {
		return err
	}
	h := hosts[len(hosts)-1]
	resp, err := c.send(ctx, h, request{method: http.MethodGet, path: h.Path + "/"})
	if err != nil {
		return explainLogin(ctx, host, err)
	}
	resp.Body.Close()
	return nil
}

func explainLogin(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if refused(err) {
		return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("login to %s: unauthorized: incorrect username or password", host))
	}
	var refusal remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &refusal) {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("login to %s: it answered %s; is it a registry?", host, refusal.Status))
	}
	return unreachable(err, "login to "+host, host)
}

// Tags lists the tags of the repository, in the registry's order.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	h := r.hosts[len(r.hosts)-1]
	q := r.get(h, http.MethodGet, "tags", "list")
	q.query = nil
	var tags []string
	for page := 0; ; page++ {
		resp, err := r.client.send(ctx, h, q)
		if status(err) == http.StatusNotFound {
			return nil, errdefs.ErrNotFound.WithMessage("repository " + reference.FamiliarName(r.ref) + " not found")
		}
		if err != nil {
			return nil, r.explain(ctx, err, "list tags of")
		}
		var list struct{ Tags []string }
		if err := decodePage(resp, maxTagsBytes, &list); err != nil {
			return nil, fmt.Errorf("list tags of %s: %w", reference.FamiliarName(r.ref), err)
		}
		tags = append(tags, list.Tags...)
		next, more := nextPage(resp.Request.URL, resp.Header.Get("Link"))
		if !more {
			return tags, nil
		}
		if len(tags) > maxTags || page > maxPages || next == q.path {
			return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("list tags of %s: the registry's list has no end", reference.FamiliarName(r.ref)))
		}
		q.path = next
	}
}
