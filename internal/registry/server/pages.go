package server

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/registry/rights"
)

//go:embed pages.html
var pageText string

// pageTemplate holds "repositories" and "tags".
var pageTemplate = template.Must(template.New("").Parse(pageText))

type tagRow struct {
	Tag, Digest, Size, Kind string
	Platforms               []string
}

// pages are what a person sees in a browser.
type pages struct{ *Server }

// page shows a person in a browser what is there.
func (s pages) page(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		errMethod.write(w)
		return
	}
	c := callerOf(r)
	name := strings.Trim(r.URL.Path, "/")
	if name != "" && !validRepository.MatchString(name) {
		http.NotFound(w, r)
		return
	}
	if c.name == "" && c.rights != nil && (r.URL.Query().Has("login") || name != "" && !c.may(rights.Pull, name)) {
		s.challenge(w, r, "", "log in to see this")
		return
	}
	if name == "" {
		names, err := s.visible(r, c)
		s.render(w, r, "repositories", map[string]any{"Names": names, "User": c.name, "Host": r.Host, "Login": c.rights != nil && c.name == ""}, err)
		return
	}
	if !c.may(rights.Pull, name) {
		http.NotFound(w, r)
		return
	}
	rows, err := s.tagRows(r, name)
	if err == nil && len(rows) == 0 {
		http.NotFound(w, r)
		return
	}
	s.render(w, r, "tags", map[string]any{"Name": name, "Rows": rows, "User": c.name, "Host": r.Host}, err)
}

func (s pages) render(w http.ResponseWriter, r *http.Request, name string, data any, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if err := pageTemplate.ExecuteTemplate(w, name, data); err != nil {
		s.log.Debug("a page was not sent whole", "error", err)
	}
}

// maxRows bounds what a page reads; the API gives the rest.
const maxRows = 500

func (s pages) tagRows(r *http.Request, repository string) ([]tagRow, error) {
	tags, err := s.opt.Store.Tags(r.Context(), repository)
	if err != nil {
		return nil, err
	}
	var rows []tagRow
	for _, tag := range tags[:min(len(tags), maxRows)] {
		d, err := s.opt.Store.Resolve(r.Context(), repository, tag)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		row, err := s.tagRow(r, tag, d)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (s pages) tagRow(r *http.Request, tag string, d digest.Digest) (tagRow, error) {
	row := tagRow{Tag: tag, Digest: d.String(), Kind: "missing"}
	m, err := s.opt.Store.ReadManifest(r.Context(), d)
	if errdefs.IsNotFound(err) {
		return row, nil
	}
	if err != nil {
		return row, err
	}
	row.Kind = "image"
	var total int64
	for _, l := range m.Layers {
		total += l.Size
	}
	switch {
	case len(m.Manifests) > 0:
		row.Kind = "index"
	case m.ArtifactType != "":
		row.Kind = m.ArtifactType
	}
	for _, part := range m.Manifests {
		if p := part.Platform; p != nil {
			row.Platforms = append(row.Platforms, strings.Trim(p.OS+"/"+p.Architecture+"/"+p.Variant, "/"))
		}
	}
	if total > 0 {
		row.Size = units.HumanSize(float64(total))
	}
	return row, nil
}
