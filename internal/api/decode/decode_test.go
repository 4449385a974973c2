package decode

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestJSON(t *testing.T) {
	for _, row := range []struct{ contentType, body, want string }{
		{"application/json", `{"Image":"a"}`, ""},
		{"application/json; charset=utf-8", `{"Image":"a"} `, ""},
		{"", `{}`, "malformed Content-Type header (): mime: no media type"},
		{"text/plain", `{}`, "unsupported Content-Type header (text/plain): must be 'application/json'"},
		{"application/json", ``, "invalid JSON: got EOF while reading request body"},
		{"application/json", `{"Image":`, "invalid JSON: unexpected EOF"},
		{"application/json", `{"Image":"a"}{}`, "invalid JSON: unexpected content after JSON"},
		{"application/json", `[]`, "invalid JSON: json: cannot unmarshal array into Go value of type container.Config"},
		{"application/json", `{"Image":"` + strings.Repeat("a", MaxBody) + `"}`, fmt.Sprintf("request body is larger than %d bytes", MaxBody)},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(row.body))
		r.Header.Set("Content-Type", row.contentType)
		var c container.Config
		check(t, row.body[:min(len(row.body), 30)], JSON(r, &c), row.want)
	}
}

func TestFilters(t *testing.T) {
	for _, row := range []struct{ text, want, failure string }{
		{"", "map[]", ""},
		{"null", "map[]", ""},
		{`{"name":["a","b"]}`, "map[name:map[a:true b:true]]", ""},
		{`{"name":{"a":true}}`, "map[name:map[a:true]]", ""},
		{`{"name":"a"}`, "map[]", "invalid filter: json: cannot unmarshal string into Go value of type []string"},
		{`{`, "map[]", "invalid filter: unexpected end of JSON input"},
	} {
		got, err := Filters(row.text)
		check(t, row.text, err, row.failure)
		if fmt.Sprint(got) != row.want {
			t.Errorf("%s: %v, want %s", row.text, got, row.want)
		}
	}
}

func TestTime(t *testing.T) {
	for _, row := range []struct {
		text string
		want time.Time
		fail bool
	}{
		{"", time.Time{}, false},
		{"0", time.Time{}, false},
		{"1700000000", time.Unix(1700000000, 0), false},
		{"1700000000.000000001", time.Unix(1700000000, 1), false},
		{"1700000000.5", time.Unix(1700000000, 5e8), false},
		{"2023-11-14T22:13:20Z", time.Unix(1700000000, 0), false},
		{"yesterday", time.Time{}, true},
		{"1.-1", time.Time{}, true},
		{"1.0000000001", time.Time{}, true},
	} {
		got, err := Time(url.Values{"since": {row.text}}, "since")
		if (err != nil) != row.fail || !got.Equal(row.want) {
			t.Errorf("%q: %v %v", row.text, got, err)
		}
	}
}

func TestRegistryAuth(t *testing.T) {
	url64 := base64.URLEncoding.EncodeToString
	for _, row := range []struct{ header, user, password, failure string }{
		{"", "", "", ""},
		{url64([]byte(`{"username":"u","password":"p?>~"}`)), "u", "p?>~", ""},
		{base64.RawURLEncoding.EncodeToString([]byte(`{"username":"u","password":"p"}`)), "u", "p", ""},
		{url64([]byte(`{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p:q")) + `"}`)), "u", "p:q", ""},
		{url64([]byte(`{}`)), "", "", ""},
		{"%%", "", "", "invalid X-Registry-Auth header: must be valid base64url encoding of JSON"},
		{url64([]byte(`x`)), "", "", "invalid X-Registry-Auth header: must be JSON: invalid character 'x' looking for beginning of value"},
	} {
		got, err := RegistryAuth(row.header)
		check(t, row.header, err, row.failure)
		if got.Username != row.user || got.Password != row.password {
			t.Errorf("%s: %+v", row.header, got)
		}
	}
}

func TestPlatform(t *testing.T) {
	for _, row := range []struct{ text, want, failure string }{
		{"", "", ""},
		{"linux/arm64", "linux/arm64", ""},
		{`{"os":"linux","architecture":"arm","variant":"v7"}`, "linux/arm/v7", ""},
		{`{"os":"linux"}`, "", "invalid platform: both OS and Architecture must be provided"},
	} {
		got, err := Platform(row.text)
		check(t, row.text, err, row.failure)
		if got != row.want {
			t.Errorf("%s: %s", row.text, got)
		}
	}
}

func TestBool(t *testing.T) {
	for text, want := range map[string]bool{"": false, "0": false, "no": false, " False ": false, "none": false, "1": true, "true": true, "x": true} {
		if Bool(url.Values{"a": {text}}, "a") != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
	if !BoolOr(url.Values{}, "a", true) || BoolOr(url.Values{"a": {"0"}}, "a", true) {
		t.Error("BoolOr")
	}
}

func check(t *testing.T, name string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: not InvalidArgument: %v", name, err)
		}
	}
	if got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func FuzzFilters(f *testing.F) {
	for _, s := range []string{"", "null", `{"a":["b"]}`, `{"a":{"b":true}}`, `{"a":null}`, `[`, `{"a":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Filters(text)
		if (got == nil) == (err == nil) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	})
}

func FuzzCreateBody(f *testing.F) {
	f.Add(`{"Image":"busybox","Cmd":["true"],"HostConfig":{"Memory":4096,"PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}}`)
	f.Add(`{"Cmd":"true","ExposedPorts":{"x":{}}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		var c container.CreateRequest
		if err := JSON(r, &c); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Error(err)
		}
	})
}

func FuzzRegistryAuth(f *testing.F) {
	f.Add("eyJ1c2VybmFtZSI6InUifQ==")
	f.Add("====")
	f.Fuzz(func(t *testing.T, header string) {
		if _, err := RegistryAuth(header); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Error(err)
		}
	})
}

func FuzzTime(f *testing.F) {
	f.Add("1700000000.5")
	f.Add("-1.9")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = Time(url.Values{"t": {text}}, "t")
		_, _ = Platform(text)
	})
}
