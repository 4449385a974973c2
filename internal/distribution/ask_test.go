package distribution

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/errdefs"
)

var good = Credentials{Username: registrytest.Username, Password: registrytest.Password}

func TestLogin(t *testing.T) {
	bad := Credentials{Username: registrytest.Username, Password: "wrong"}
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	notRegistry := strings.TrimPrefix(web.URL, "http://")
	for name, tc := range map[string]struct {
		host  string
		creds Credentials
		ok    func(error) bool
		want  string
	}{
		"basic":           {registrytest.New(t, registrytest.Basic).Host(), good, nil, ""},
		"basic, refused":  {registrytest.New(t, registrytest.Basic).Host(), bad, errdefs.IsUnauthorized, "incorrect username or password"},
		"basic, none":     {registrytest.New(t, registrytest.Basic).Host(), Credentials{}, errdefs.IsUnauthorized, ""},
		"token":           {registrytest.New(t, registrytest.Token).Host(), good, nil, ""},
		"token, refused":  {registrytest.New(t, registrytest.Token).Host(), bad, errdefs.IsUnauthorized, "incorrect username or password"},
		"open":            {registrytest.New(t, registrytest.OK).Host(), good, nil, ""},
		"not a registry":  {notRegistry, good, errdefs.IsUnavailable, "404"},
		"nobody is there": {"127.0.0.1:1", good, errdefs.IsUnavailable, "is the registry 127.0.0.1:1 up"},
	} {
		c := New(Options{})
		err := c.Login(context.Background(), tc.host, tc.creds)
		c.Close()
		if (err == nil) != (tc.ok == nil) || err != nil && (!tc.ok(err) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTags(t *testing.T) {
	r := registrytest.New(t, registrytest.Token)
	want := []string{"1", "2", "3", "4", "5"}
	for _, tag := range want {
		r.AddManifest("a/b", tag, "x", []byte(tag))
	}
	ctx := context.Background()
	if got, err := repository(t, Options{}, r.Host()+"/a/b", good).Tags(ctx); err != nil || !slices.Equal(got, want) {
		t.Errorf("Tags = %v, %v", got, err)
	}
	if got, err := repository(t, Options{}, r.Host()+"/none", good).Tags(ctx); !errdefs.IsNotFound(err) {
		t.Errorf("of a repository that is not there: %v, %v", got, err)
	}
	if got, err := repository(t, Options{}, r.Host()+"/a/b", Credentials{}).Tags(ctx); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "denied") {
		t.Errorf("without credentials: %v, %v", got, err)
	}
}
