package imageview

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/image"
)

var (
	old   = time.Unix(1000, 0)
	young = time.Unix(2000, 0)
	web   = image.Image{ID: "sha256:web", Tags: []string{"web:1", "r:5000/web:2"}, Created: young, Bytes: 7, Config: &container.Config{Labels: map[string]string{"a": "b"}}}
	base  = image.Image{ID: "sha256:base", Tags: []string{"base:latest"}, Created: old, Config: &container.Config{}}
	none  = image.Image{ID: "sha256:none", Created: old}
	host  = image.Image{ID: "sha256:host", Host: true, Tags: []string{"host:latest"}}
)

func TestFilter(t *testing.T) {
	for _, row := range []struct{ filters, want string }{
		{`{}`, "web:1 r:5000/web:2 | base:latest |  | host:latest"},
		{`{"dangling":{"true":true}}`, ""},
		{`{"dangling":{"false":true}}`, "web:1 r:5000/web:2 | base:latest"},
		{`{"label":{"a":true}}`, "web:1 r:5000/web:2"},
		{`{"label":{"a=c":true}}`, "no image"},
		{`{"label!":{"a":true}}`, "base:latest |  | host:latest"},
		{`{"reference":{"web":true}}`, "web:1"},
		{`{"reference":{"*:latest":true}}`, "base:latest | host:latest"},
		{`{"reference":{"r:5000/*":true}}`, "r:5000/web:2"},
		{`{"reference":{"docker.io/library/web:1":true}}`, "web:1"},
		{`{"before":{"web":true}}`, "base:latest |  | host:latest"},
		{`{"since":{"base":true}}`, "web:1 r:5000/web:2"},
		{`{"until":{"1500":true}}`, "base:latest |  | host:latest"},
		{`{"until":{"x":true}}`, "error: invalid filter 'until=x': use a duration such as 10m, seconds since 1970, or a time in RFC 3339"},
		{`{"dangling":{"x":true}}`, "error: invalid filter 'dangling=x': use true or false"},
		{`{"before":{"nosuch":true}}`, "error: No such image: nosuch"},
	} {
		var f filters.Filters
		if err := json.Unmarshal([]byte(row.filters), &f); err != nil {
			t.Fatal(err)
		}
		found, err := Filter([]image.Image{web, base, none, host}, f, func(ref string) (image.Image, error) {
			if i, ok := map[string]image.Image{"web": web, "base": base}[ref]; ok {
				return i, nil
			}
			return image.Image{}, errors.New("No such image: " + ref)
		})
		var names []string
		for _, i := range found {
			names = append(names, strings.Join(i.Tags, " "))
		}
		got := strings.Join(names, " | ")
		if len(found) == 0 {
			got = "no image"
		}
		if len(found) == 1 && got == "" {
			got = "" // the one without a name
		}
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.filters, got, row.want)
		}
	}
}

func TestSummaryHasNoNull(t *testing.T) {
	text, err := json.Marshal(Summary(none, 3))
	want := `{"Containers":3,"Created":1000,"Id":"sha256:none","Labels":{},"ParentId":"","RepoDigests":[],"RepoTags":[],"SharedSize":-1,"Size":0}`
	if err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
}

func TestInspectKeepsTheConfiguration(t *testing.T) {
	img := web
	img.Layers = []digest.Digest{"sha256:l"}
	img.Config = &container.Config{
		Cmd: []string{"run"}, Env: []string{"A=b"}, User: "u", WorkingDir: "/w", StopSignal: "SIGINT", Shell: []string{"sh"}, OnBuild: []string{"RUN x"},
		Volumes: map[string]struct{}{"/v": {}}, Healthcheck: &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: time.Second},
	}
	i, err := Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(i.Config)
	want := `{"User":"u","Env":["A=b"],"Cmd":["run"],"Volumes":{"/v":{}},"WorkingDir":"/w","StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","true"],"Interval":1000000000},"OnBuild":["RUN x"],"Shell":["sh"]}`
	if err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
	if got := fmt.Sprint(i.Created, i.RootFS.Layers, i.Size); got != "1970-01-01T00:33:20Z[sha256:l] 7" {
		t.Error(got)
	}
}

func TestHistory(t *testing.T) {
	img := web
	img.LayerBytes = []int64{7, 5}
	img.History = []ocispec.History{{Created: &old, CreatedBy: "ADD"}, {CreatedBy: "ENV", EmptyLayer: true}, {CreatedBy: "RUN"}, {CreatedBy: "X"}, {Created: &young, CreatedBy: "CMD", EmptyLayer: true}}
	got := fmt.Sprint(History(img))
	if want := "[{ 2000 CMD sha256:web 0 [web:1 r:5000/web:2]} { 0 X <missing> 0 []} { 0 RUN <missing> 5 []} { 0 ENV <missing> 0 []} { 1000 ADD <missing> 7 []}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
