package image

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// danglingPrefix begins the record of an image that lost its last name.
const danglingPrefix = "dangling@"

var hexID = regexp.MustCompile(`^[a-f0-9]{1,64}$`)

// parseName reads a reference as a person writes it; docker.io and :latest are
// filled in, and of name:tag@digest the tag is dropped.
func parseName(ref string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid reference format: %q: %v", ref, err))
	}
	return named, nil
}

// parseNew reads a name that is to be given to an image.
func parseNew(ref string) (reference.Named, error) {
	named, err := parseName(ref)
	if err != nil {
		return nil, err
	}
	if isHost(named) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"the name %q is reserved for the view of the running system; use another name", reference.FamiliarName(named)))
	}
	return named, nil
}

// parseTag reads a name with a tag.
func parseTag(ref string) (reference.Named, error) {
	named, err := parseNew(ref)
	if err != nil {
		return nil, err
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("refusing to create a tag with a digest reference: %q", ref))
	}
	return named, nil
}

func isHost(named reference.Named) bool {
	return named.Name() == "docker.io/library/"+HostName
}

// familiar is a record's name as Docker shows it: a tag, or name@digest.
func familiar(record string) (text string, tagged bool) {
	if strings.HasPrefix(record, danglingPrefix) {
		return "", false
	}
	named, err := reference.ParseNamed(record)
	if err != nil {
		return record, true
	}
	_, tagged = named.(reference.Tagged)
	return reference.FamiliarString(named), tagged
}

// repository is the familiar name of a record without tag or digest.
func repository(record string) string {
	named, err := reference.ParseNamed(record)
	if err != nil {
		return ""
	}
	return reference.FamiliarName(named)
}

// asID says if ref can be an image ID or the beginning of one, and returns it
// without the algorithm.
func asID(ref string) (string, bool) {
	hex, _ := strings.CutPrefix(ref, digest.SHA256.String()+":")
	return hex, hexID.MatchString(hex)
}

func noSuchImage(ref string) error {
	return errdefs.ErrNotFound.WithMessage("No such image: " + ref)
}
