package distribution

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"

	"github.com/berth-containers/berth/internal/distribution/registries"
)

// hub is the host that searches for Docker's own registry.
const hub = "index.docker.io"

// Search asks a registry for repositories by a part of their name: at most
// limit. Registries that do not search, which most are, are asked for their list
// of all; NotImplemented if it has none either.
func (c *Client) Search(ctx context.Context, host, term string, limit int, creds Credentials) ([]registry.SearchResult, error) {
	if host == registries.Hub {
		host = hub
	}
	hosts, err := c.hosts(ctx, host, creds)
	if err != nil {
		return nil, err
	}
	h := hosts[len(hosts)-1]
	q := request{method: http.MethodGet, path: "/v1/search", query: url.Values{"q": {term}, "n": {strconv.Itoa(limit)}}}
	resp, err := c.send(ctx, h, q)
	if err == nil {
		var found registry.SearchResults
		if err := decodePage(resp, maxTagsBytes, &found); err == nil {
			return found.Results[:min(limit, len(found.Results))], nil
		}
	}
	if err != nil && status(err) == 0 {
		return nil, unreachable(err, "search "+host, host)
	}
	return c.searchCatalog(ctx, host, h, term, limit)
}

// searchCatalog looks through the list of all repositories.
func (c *Client) searchCatalog(ctx context.Context, host string, h docker.RegistryHost, term string, limit int) ([]registry.SearchResult, error) {
	q := request{method: http.MethodGet, path: h.Path + "/_catalog", scope: []string{"registry:catalog:*"}}
	var found []registry.SearchResult
	for page := 0; page < maxPages; page++ {
		resp, err := c.send(ctx, h, q)
		if err != nil {
			return nil, explainSearch(ctx, host, err)
		}
		var list struct{ Repositories []string }
		if err := decodePage(resp, maxTagsBytes, &list); err != nil {
			return nil, fmt.Errorf("list the repositories of %s: %w", host, err)
		}
		for _, name := range list.Repositories {
			if strings.Contains(name, term) && len(found) < limit {
				found = append(found, registry.SearchResult{Name: host + "/" + name})
			}
		}
		next, more := nextPage(resp.Request.URL, resp.Header.Get("Link"))
		if !more || len(found) == limit || next == q.path {
			break
		}
		q.path = next
	}
	return found, nil
}

func explainSearch(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if refused(err) {
		return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("search %s: unauthorized: it lists its repositories only to some accounts; log in to it with one of them", host))
	}
	if status(err) != 0 {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("search %s: it answers neither a search nor the list of its repositories; pull an image by its name", host))
	}
	return unreachable(err, "search "+host, host)
}
