// Package name reads references to images as people write them and shows them
// as Docker does. A record is the full name that the store keeps: with the
// registry and a tag or digest, or Dangling and the target's digest for an image
// that lost its last name.
package name

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Dangling begins the record of an image that lost its last name.
const Dangling = "dangling@"

// Host names the image that is a view of the running system.
const Host = "host"

var hexID = regexp.MustCompile(`^[a-f0-9]{1,64}$`)

// Parse reads a reference as a person writes it; docker.io and :latest are
// filled in, and of name:tag@digest the tag is dropped.
func Parse(ref string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid reference format: %q: %v", ref, err))
	}
	return named, nil
}

// ParseNew reads a name that is to be given to an image.
func ParseNew(ref string) (reference.Named, error) {
	named, err := Parse(ref)
	if err != nil {
		return nil, err
	}
	if isHost(named) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"the name %q is reserved for the view of the running system; use another name", reference.FamiliarName(named)))
	}
	return named, nil
}

// ParseTag reads a name with a tag.
func ParseTag(ref string) (reference.Named, error) {
	named, err := ParseNew(ref)
	if err != nil {
		return nil, err
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("refusing to create a tag with a digest reference: %q", ref))
	}
	return named, nil
}

func isHost(named reference.Named) bool {
	return named.Name() == "docker.io/library/"+Host
}

// Familiar is a record's name as Docker shows it: a tag, or name@digest.
func Familiar(record string) (text string, tagged bool) {
	if strings.HasPrefix(record, Dangling) {
		return "", false
	}
	named, err := reference.ParseNamed(record)
	if err != nil {
		return record, true
	}
	_, tagged = named.(reference.Tagged)
	return reference.FamiliarString(named), tagged
}

// Repository is the familiar name of a record without tag or digest.
func Repository(record string) string {
	named, err := reference.ParseNamed(record)
	if err != nil {
		return ""
	}
	return reference.FamiliarName(named)
}

// AsID says if ref can be an image ID or the beginning of one, and returns it
// without the algorithm.
func AsID(ref string) (string, bool) {
	hex, _ := strings.CutPrefix(ref, digest.SHA256.String()+":")
	return hex, hexID.MatchString(hex)
}

// Server is the registry's host of an address: "https://index.docker.io/v1/"
// and "" are docker.io.
func Server(address string) string {
	host := strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "", "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}
