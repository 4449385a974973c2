// Package decode reads what clients send: bodies, filters, times, credentials.
// Whatever it refuses is InvalidArgument. It keeps nothing.
package decode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"

	"github.com/berth-containers/berth/internal/filters"
)

// MaxBody is the size of the largest JSON body that is read.
const MaxBody = 4 << 20

// JSON reads a request's body into v. The Content-Type must say that it is JSON.
func JSON(r *http.Request, v any) error {
	if err := checkContentType(r); err != nil {
		return err
	}
	body := http.MaxBytesReader(nil, r.Body, MaxBody)
	d := json.NewDecoder(body)
	if err := d.Decode(v); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); err == nil {
		return invalid("invalid JSON: unexpected content after JSON")
	} else if !errors.Is(err, io.EOF) {
		return bodyError(err)
	}
	return nil
}

// OptionalJSON is JSON, but an empty body leaves v alone.
func OptionalJSON(r *http.Request, v any) error {
	if r.ContentLength == 0 {
		return nil
	}
	return JSON(r, v)
}

func bodyError(err error) error {
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return invalid("request body is larger than %d bytes", tooBig.Limit)
	case errors.Is(err, io.EOF):
		return invalid("invalid JSON: got EOF while reading request body")
	}
	return invalid("invalid JSON: %v", err)
}

func checkContentType(r *http.Request) error {
	header := r.Header.Get("Content-Type")
	if header == "" && r.ContentLength == 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(header)
	if err != nil {
		return invalid("malformed Content-Type header (%s): %v", header, err)
	}
	if kind != "application/json" {
		return invalid("unsupported Content-Type header (%s): must be 'application/json'", header)
	}
	return nil
}

// Filters reads what filters.Parse reads.
func Filters(text string) (filters.Filters, error) { return filters.Parse(text) }

// FilterBool is the value of a filter that is true or false.
func FilterBool(f filters.Filters, key string, absent bool) (bool, error) {
	for text := range f[key] {
		value, err := strconv.ParseBool(text)
		if err != nil {
			return false, invalid("invalid filter '%s=%s': use true or false", key, text)
		}
		absent = value
	}
	return absent, nil
}

// Bool is Docker's: everything but "", 0, no, false and none is true.
func Bool(q url.Values, name string) bool {
	switch strings.ToLower(strings.TrimSpace(q.Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// BoolOr is Bool with a value for when the parameter is absent.
func BoolOr(q url.Values, name string, absent bool) bool {
	if !q.Has(name) {
		return absent
	}
	return Bool(q, name)
}

// Int reads a whole number; nil if the parameter is absent or empty.
func Int(q url.Values, name string) (*int, error) {
	text := q.Get(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, invalid("parameter %s: %q is not a whole number", name, text)
	}
	return &n, nil
}

// Size reads a size of a terminal.
func Size(q url.Values, name string) (uint16, error) {
	n, err := strconv.ParseUint(q.Get(name), 10, 16)
	if err != nil {
		return 0, invalid("parameter %s: %q is not a size from 0 to %d", name, q.Get(name), math.MaxUint16)
	}
	return uint16(n), nil
}

// Time reads seconds with an optional fraction since 1970, or RFC 3339; the
// zero time if the parameter is absent, empty or 0.
func Time(q url.Values, name string) (time.Time, error) {
	text := q.Get(name)
	if text == "" || text == "0" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, badTime(name, text)
	}
	nsec, err := strconv.ParseUint(fraction+strings.Repeat("0", 9-len(fraction)), 10, 32)
	if err != nil {
		return time.Time{}, badTime(name, text)
	}
	return time.Unix(sec, int64(nsec)), nil
}

func badTime(name, text string) error {
	return invalid("parameter %s: %q is neither seconds since 1970 nor a time in RFC 3339", name, text)
}

// RegistryAuth reads the header X-Registry-Auth: JSON in base64url, with or
// without padding. An absent header is anonymous.
func RegistryAuth(header string) (registry.AuthConfig, error) {
	var auth registry.AuthConfig
	if header == "" {
		return auth, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(header, "="))
	if err != nil {
		return auth, invalid("invalid X-Registry-Auth header: must be valid base64url encoding of JSON")
	}
	if len(text) == 0 {
		return auth, nil
	}
	if err := json.Unmarshal(text, &auth); err != nil {
		return auth, invalid("invalid X-Registry-Auth header: must be JSON: %v", err)
	}
	if auth.Username == "" && auth.Password == "" && auth.Auth != "" {
		return basic(auth)
	}
	return auth, nil
}

// basic reads the field that configuration files use: base64 of user:password.
func basic(auth registry.AuthConfig) (registry.AuthConfig, error) {
	text, err := base64.StdEncoding.DecodeString(auth.Auth)
	user, password, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return auth, invalid("invalid X-Registry-Auth header: auth must be base64 of user:password")
	}
	auth.Username, auth.Password = user, password
	return auth, nil
}

// Platform reads {"os":"linux","architecture":"arm64"} into linux/arm64; other
// text is taken as it is.
func Platform(text string) (string, error) {
	if !strings.HasPrefix(text, "{") {
		return text, nil
	}
	var p struct{ OS, Architecture, Variant string }
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return "", invalid("invalid platform: %v", err)
	}
	if p.OS == "" || p.Architecture == "" {
		return "", invalid("invalid platform: both OS and Architecture must be provided")
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/"), nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
