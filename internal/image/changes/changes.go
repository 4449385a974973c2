// Package changes applies lines of a Dockerfile that only change an image's
// configuration, as "docker import --change" and "docker commit --change" do.
//
// Known are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL,
// STOPSIGNAL, USER, VOLUME and WORKDIR.
package changes

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Apply applies lines to c, in order. InvalidArgument names the bad line.
func Apply(c *container.Config, lines []string) error {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		name, rest = strings.ToUpper(name), strings.TrimSpace(rest)
		set := setter(name)
		if set == nil {
			return errdefs.ErrInvalidArgument.WithMessage(name + " is not a valid change command")
		}
		if rest == "" {
			return errdefs.ErrInvalidArgument.WithMessage(name + " requires at least one argument")
		}
		if err := set(c, rest); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %v", line, err))
		}
	}
	return nil
}

func setter(name string) func(*container.Config, string) error {
	switch name {
	case "CMD":
		return func(c *container.Config, rest string) error { c.Cmd = command(c, rest); return nil }
	case "ENTRYPOINT":
		return func(c *container.Config, rest string) error { c.Entrypoint = command(c, rest); return nil }
	case "ENV":
		return env
	case "EXPOSE":
		return expose
	case "HEALTHCHECK":
		return healthcheck
	case "LABEL":
		return label
	case "ONBUILD":
		return func(c *container.Config, rest string) error { c.OnBuild = append(c.OnBuild, rest); return nil }
	case "SHELL":
		return shell
	case "STOPSIGNAL":
		return func(c *container.Config, rest string) error { c.StopSignal = rest; return nil }
	case "USER":
		return func(c *container.Config, rest string) error { c.User = rest; return nil }
	case "VOLUME":
		return volume
	case "WORKDIR":
		return workdir
	}
	return nil
}

// list reads the JSON form of a command, ["a", "b"].
func list(rest string) ([]string, bool) {
	var words []string
	if !strings.HasPrefix(rest, "[") || json.Unmarshal([]byte(rest), &words) != nil {
		return nil, false
	}
	return words, true
}

func command(c *container.Config, rest string) []string {
	if words, ok := list(rest); ok {
		return words
	}
	shell := c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(append([]string{}, shell...), rest)
}

func shell(c *container.Config, rest string) error {
	words, ok := list(rest)
	if !ok || len(words) == 0 {
		return fmt.Errorf("SHELL requires the arguments to be in JSON form")
	}
	c.Shell = words
	return nil
}

func env(c *container.Config, rest string) error {
	return pairs(rest, func(key, value string) {
		for i, have := range c.Env {
			if name, _, _ := strings.Cut(have, "="); name == key {
				c.Env[i] = key + "=" + value
				return
			}
		}
		c.Env = append(c.Env, key+"="+value)
	})
}

func label(c *container.Config, rest string) error {
	return pairs(rest, func(key, value string) {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[key] = value
	})
}

// pairs reads key=value …, with quotes, or the old form "key value".
func pairs(rest string, set func(key, value string)) error {
	words, err := split(rest)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return fmt.Errorf("key=value is missing")
	}
	if !strings.Contains(words[0], "=") {
		key, value, found := strings.Cut(rest, " ")
		if !found {
			return fmt.Errorf("%q is not key=value", rest)
		}
		set(key, strings.TrimSpace(value))
		return nil
	}
	type pair struct{ key, value string }
	var all []pair
	for _, w := range words {
		key, value, found := strings.Cut(w, "=")
		if !found || key == "" {
			return fmt.Errorf("%q is not key=value", w)
		}
		all = append(all, pair{key, value})
	}
	for _, p := range all {
		set(p.key, p.value)
	}
	return nil
}

func expose(c *container.Config, rest string) error {
	words, err := split(rest)
	if err != nil {
		return err
	}
	for _, w := range words {
		r, err := network.ParsePortRange(w)
		if err != nil {
			return err
		}
		if c.ExposedPorts == nil {
			c.ExposedPorts = network.PortSet{}
		}
		for port := range r.All() {
			c.ExposedPorts[port] = struct{}{}
		}
	}
	return nil
}

func volume(c *container.Config, rest string) error {
	words, ok := list(rest)
	if !ok {
		var err error
		if words, err = split(rest); err != nil {
			return err
		}
	}
	for _, w := range words {
		if strings.TrimSpace(w) == "" {
			return fmt.Errorf("a volume's path is empty")
		}
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[w] = struct{}{}
	}
	return nil
}

func workdir(c *container.Config, rest string) error {
	if path.IsAbs(rest) {
		c.WorkingDir = path.Clean(rest)
	} else {
		c.WorkingDir = path.Join("/", c.WorkingDir, rest)
	}
	return nil
}
