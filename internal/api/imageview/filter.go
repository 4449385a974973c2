package imageview

import (
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/image"
)

// FilterNames are the filters of a list of images.
var FilterNames = []string{"before", "dangling", "label", "label!", "reference", "since", "until"}

// Filter returns the images that match. find finds an image by a reference.
func Filter(images []image.Image, f filters.Filters, find func(ref string) (image.Image, error)) ([]image.Image, error) {
	tests, err := tests(f, find)
	if err != nil {
		return nil, err
	}
	var matching []image.Image
next:
	for _, img := range images {
		for _, test := range tests {
			if !test(img) {
				continue next
			}
		}
		if len(f["reference"]) > 0 {
			img.Tags = matchingNames(img.Tags, f["reference"])
			img.Digests = matchingNames(img.Digests, f["reference"])
			if len(img.Tags)+len(img.Digests) == 0 {
				continue
			}
		}
		matching = append(matching, img)
	}
	return matching, nil
}

type test = func(image.Image) bool

func tests(f filters.Filters, find func(string) (image.Image, error)) ([]test, error) {
	var all []test
	for value := range f["dangling"] {
		dangling, err := strconv.ParseBool(value)
		if err != nil {
			return nil, invalid("invalid filter 'dangling=%s': use true or false", value)
		}
		all = append(all, func(i image.Image) bool { return !i.Host && (len(i.Tags) == 0) == dangling })
	}
	all = append(all, func(i image.Image) bool { return filters.Labels(labels(i), f) })
	if len(f["until"]) > 0 {
		t, err := filters.Until(f, time.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, func(i image.Image) bool { return i.Created.Before(t) })
	}
	for value := range f["before"] {
		other, err := find(value)
		if err != nil {
			return nil, err
		}
		all = append(all, func(i image.Image) bool { return i.Created.Before(other.Created) })
	}
	for value := range f["since"] {
		other, err := find(value)
		if err != nil {
			return nil, err
		}
		all = append(all, func(i image.Image) bool { return i.Created.After(other.Created) })
	}
	return all, nil
}

func labels(i image.Image) map[string]string {
	if i.Config == nil {
		return nil
	}
	return i.Config.Labels
}

// matchingNames keeps the names that a pattern fits: with or without its tag,
// with * and ? as in a path.
func matchingNames(names []string, patterns map[string]bool) []string {
	var matching []string
	for _, name := range names {
		for p := range patterns {
			if matches(name, p) {
				matching = append(matching, name)
				break
			}
		}
	}
	return matching
}

func matches(name, pattern string) bool {
	forms := []string{name}
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		forms = append(forms, reference.FamiliarName(named), named.Name(), named.String())
	}
	for _, form := range forms {
		if ok, err := path.Match(pattern, form); ok && err == nil {
			return true
		}
	}
	return false
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
