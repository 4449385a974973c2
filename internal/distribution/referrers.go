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
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxReferrers bounds how many are listed.
const maxReferrers = 10_000

// Referrers lists the manifests that say they are about the one with the digest
// (signatures, SBOMs …), of one artifact type, or of all if it is "". A registry
// without that endpoint is asked for the tag that stands in for it. None is no
// error.
func (r *Repository) Referrers(ctx context.Context, of digest.Digest, artifactType string) ([]ocispec.Descriptor, error) {
	if err := of.Validate(); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("digest %q: %v", of, err))
	}
	var all []ocispec.Descriptor
	err := r.each(ctx, docker.HostCapabilityPull|docker.HostCapabilityReferrers, "pull", func(h docker.RegistryHost, last bool) (err error) {
		q := r.get(h, http.MethodGet, "referrers", of.String())
		if artifactType != "" {
			q.query.Set("artifactType", artifactType)
		}
		q.once = !last
		if all, err = r.referrers(ctx, h, q); status(err) == http.StatusNotFound {
			q = r.get(h, http.MethodGet, "manifests", strings.Replace(of.String(), ":", "-", 1))
			q.once = !last
			all, err = r.referrers(ctx, h, q)
		}
		return err
	})
	if errdefs.IsNotFound(err) && !strings.Contains(err.Error(), "denied") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []ocispec.Descriptor
	for _, d := range all { // it need not have looked at the type
		if artifactType == "" || d.ArtifactType == artifactType {
			list = append(list, d)
		}
	}
	return list, nil
}

func (r *Repository) referrers(ctx context.Context, h docker.RegistryHost, q request) ([]ocispec.Descriptor, error) {
	q.header = http.Header{"Accept": {ocispec.MediaTypeImageIndex}}
	var all []ocispec.Descriptor
	for pages := 0; ; pages++ {
		resp, err := r.client.send(ctx, h, q)
		if err != nil {
			return nil, err
		}
		var index ocispec.Index
		err = decodePage(resp, MaxManifestBytes, &index)
		if err != nil {
			return nil, fmt.Errorf("referrers: %w", err)
		}
		all = append(all, index.Manifests...)
		next, more := nextPage(resp.Request.URL, resp.Header.Get("Link"))
		if !more {
			return all, nil
		}
		if len(all) > maxReferrers || pages > maxPages {
			return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("registry %s lists more than %d referrers", h.Host, maxReferrers))
		}
		q.path, q.query = next, nil
	}
}

// decodePage reads an answer of at most limit bytes.
func decodePage(resp *http.Response, limit int64, into any) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(b)) > limit {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("the registry's answer is larger than %d bytes", limit))
	}
	if err := json.Unmarshal(b, into); err != nil {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("the registry's answer is no list: %v", err))
	}
	return nil
}

// nextPage finds, in the header Link, where a list goes on (RFC 8288): always on
// the host that was asked.
func nextPage(asked *url.URL, link string) (path string, more bool) {
	for {
		_, rest, ok := strings.Cut(link, "<")
		target, rest, closed := strings.Cut(rest, ">")
		if !ok || !closed {
			return "", false
		}
		parameters, _, _ := strings.Cut(rest, "<")
		if link = rest; !isNext(strings.TrimSuffix(strings.TrimSpace(parameters), ",")) {
			continue
		}
		to, err := url.Parse(target)
		if err != nil || to.Opaque != "" {
			return "", false
		}
		resolved := asked.ResolveReference(to)
		return resolved.RequestURI(), strings.HasPrefix(resolved.RequestURI(), "/")
	}
}

func isNext(parameters string) bool {
	for _, p := range strings.Split(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(key, "rel") && strings.Contains(" "+strings.Trim(value, `"`)+" ", " next ") {
			return true
		}
	}
	return false
}
