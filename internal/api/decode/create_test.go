package decode

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCreate(t *testing.T) {
	for body, want := range map[string]string{
		`{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","Source":"/s","Target":"/t","BindOptions":{"IDMapping":{"Source":"match-user","User":"app"}}},{"Type":"volume","Target":"/v"}]}}`: "a 2 map[berth.idmap:/t:match-user:app]",
		`{"Image":"a","HostConfig":{"Annotations":{"x":"y"},"Mounts":[{"Type":"bind","Target":"/t","BindOptions":{"IDMapping":{"Source":"userns"}}}]}}`:                                        "a 1 map[berth.idmap:/t:userns x:y]",
		`{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","Target":"/t","BindOptions":{"IDMapping":null}}]}}`:                                                                               "a 1 map[]",
		`{"Image":"IDMapping"}`: "IDMapping",
		`{"Image":"a","HostConfig":{"Mounts":[{"BindOptions":{"IDMapping":"userns"}}]}}`: "invalid JSON",
		`{"Image":`: "invalid JSON",
		`{} {}`:     "unexpected content after JSON",
		"{\"Image\":\"" + strings.Repeat("x", MaxBody) + "\"}": "larger than",
	} {
		r := httptest.NewRequest("POST", "/containers/create", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		q, err := Create(r)
		got := fmt.Sprint(err)
		if err == nil {
			got = q.Config.Image
			if q.HostConfig != nil {
				got = fmt.Sprint(got, " ", len(q.HostConfig.Mounts), " ", q.HostConfig.Annotations)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%.80s: %.200s, want %s", body, got, want)
		}
	}
}
