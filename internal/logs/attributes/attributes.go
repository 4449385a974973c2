// Package attributes says what the options labels, env and tag of the log driver
// json-file add to a container's entries. It is pure.
package attributes

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Origin is what is known of the container whose log it is.
type Origin struct {
	ID, Name, ImageID, ImageName, Command string
	Labels                                map[string]string
	Env                                   []string
}

// Of is what the options labels, labels-regex, env, env-regex and tag
// add to each entry. InvalidArgument for a bad value.
func Of(opts map[string]string, o Origin) (map[string]string, error) {
	env := map[string]string{}
	for _, e := range o.Env {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	attrs := map[string]string{}
	for _, from := range []struct {
		option string
		all    map[string]string
	}{{"labels", o.Labels}, {"env", env}} {
		if list := opts[from.option]; list != "" {
			for _, name := range strings.Split(list, ",") {
				if value, ok := from.all[name]; ok {
					attrs[name] = value
				}
			}
		}
		if text := opts[from.option+"-regex"]; text != "" {
			re, err := regexp.Compile(text)
			if err != nil {
				return nil, invalid("log-opt %s-regex=%s: %s", from.option, text, err)
			}
			for name, value := range from.all {
				if re.MatchString(name) {
					attrs[name] = value
				}
			}
		}
	}
	if opts["tag"] != "" {
		tag, err := expand(opts["tag"], o)
		if err != nil {
			return nil, err
		}
		attrs["tag"] = tag
	}
	return attrs, nil
}

// expand fills a tag's {{.Field}} in.
func expand(tag string, o Origin) (string, error) {
	short := func(id string) string {
		id = strings.TrimPrefix(id, "sha256:")
		return id[:min(12, len(id))]
	}
	fields := map[string]string{".ID": short(o.ID), ".FullID": o.ID, ".Name": o.Name, ".ImageID": short(o.ImageID), ".ImageFullID": o.ImageID,
		".ImageName": o.ImageName, ".Command": o.Command, ".DaemonName": "docker"}
	var out strings.Builder
	for rest := tag; rest != ""; {
		before, after, found := strings.Cut(rest, "{{")
		out.WriteString(before)
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}}")
		value, known := fields[strings.TrimSpace(name)]
		if !closed || !known {
			names := slices.Sorted(maps.Keys(fields))
			return "", invalid("log-opt tag=%s: {{%s}} is not known; use one of %s", tag, name, strings.Join(names, " "))
		}
		out.WriteString(value)
		rest = behind
	}
	return out.String(), nil
}

// Text is attributes as docker logs --details shows them.
func Text(attrs map[string]string) string {
	words := make([]string, 0, len(attrs))
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		words = append(words, url.QueryEscape(name)+"="+url.QueryEscape(attrs[name]))
	}
	return strings.Join(words, ",")
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
