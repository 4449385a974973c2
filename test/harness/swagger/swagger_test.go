package swagger

import (
	"net/http"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	l := NewLibrary()
	for _, row := range []struct {
		method, path string
		status       int
		body         string
		want         string // in the error; empty: there is none
	}{
		{"GET", "/_ping", 200, `OK`, ""},
		{"GET", "/v1.41/containers/c/json", 404, `{"message":"No such container: c"}`, ""},
		{"GET", "/containers/c/json", 404, `{"error":"no"}`, "message"},
		{"GET", "/containers/json", 200, `[{"Id":7}]`, "0.Id"},
		{"GET", "/containers/json", 200, `[]`, ""},
		{"GET", "/containers/json", 200, `null`, "nullable"},
		{"GET", "/containers/c/json", 200, `{"Config":{"Entrypoint":null},"HostConfig":{"Binds":null}}`, ""},
		{"GET", "/containers/json", 201, `[]`, "not described"},
		{"POST", "/containers/c/start", 204, ``, ""},
		{"POST", "/containers/c/start", 204, `{}`, "not described"},
		{"GET", "/events", 200, `{"Type":"image"}` + "\n" + `{"Type":5}`, "Type"},
		{"GET", "/images/a/b:c/json", 200, `{"Id":1}`, "Id"},
		{"GET", "/no/such/path", 200, `1`, ""},
		{"DELETE", "/images/a/b", 200, `{}`, "array"},
	} {
		header := http.Header{"Content-Type": {"application/json"}}
		err := l.Judge(row.method, row.path, row.status, header, []byte(row.body))
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s %s %d %s: %v", row.method, row.path, row.status, row.body, err)
		}
	}
	for kind, described := range map[string]bool{"text/plain": false, "": false, "application/vnd.docker.raw-stream": true} {
		if err := l.Judge("GET", "/containers/json", 200, http.Header{"Content-Type": {kind}}, []byte(`[]`)); (err == nil) != described {
			t.Errorf("a list told as %q: %v", kind, err)
		}
	}
}
