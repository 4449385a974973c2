// Package version knows the versions of the Docker Engine API: which ones are
// spoken, and by one table in what an answer to an older client differs. It
// keeps nothing.
package version

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// The range that is spoken. Newest is that of github.com/moby/moby/api's swagger.
const (
	Oldest = "1.24"
	Newest = "1.56"
)

// Version is one version of the API.
type Version struct{ major, minor int }

// Latest is Newest.
func Latest() Version { return mustParse(Newest) }

func (v Version) String() string { return strconv.Itoa(v.major) + "." + strconv.Itoa(v.minor) }

// Before reports whether v is older than the version named, such as "1.42".
func (v Version) Before(name string) bool { return v.less(mustParse(name)) }

func (v Version) less(o Version) bool {
	return v.major < o.major || v.major == o.major && v.minor < o.minor
}

// Check parses the version of a request; InvalidArgument if it is not spoken.
func Check(name string) (Version, error) {
	v, err := parse(name)
	switch {
	case err != nil:
		return v, err
	case v.Before(Oldest):
		return v, invalid("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", name, Oldest)
	case Latest().less(v):
		return v, invalid("client version %s is too new. Maximum supported API version is %s", name, Newest)
	}
	return v, nil
}

// Cut splits "/v1.44/containers/json" into "1.44" and "/containers/json"; an
// unversioned path has the version "".
func Cut(path string) (name, rest string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	name, ok := strings.CutPrefix(first, "v")
	if !ok || name == "" || strings.Trim(name, "0123456789.") != "" {
		return "", path
	}
	return name, "/" + rest
}

func parse(name string) (Version, error) {
	major, minor, _ := strings.Cut(name, ".")
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if errA != nil || errB != nil {
		return Version{}, invalid("invalid API version %q: use one from %s to %s", name, Oldest, Newest)
	}
	return Version{int(a), int(b)}, nil
}

func mustParse(name string) Version {
	v, err := parse(name)
	if err != nil {
		panic(err)
	}
	return v
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
