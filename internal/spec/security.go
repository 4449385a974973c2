package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/caps"
)

// defaultCapabilities are Docker's.
func defaultCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

func allCapabilities() []string { return slices.Clone(caps.Names()) }

// all is the word for every capability.
const all = "ALL"

func capabilitiesOf(h *container.HostConfig) (*specs.LinuxCapabilities, error) {
	add, err := normalize(h.CapAdd, "CapAdd")
	if err != nil {
		return nil, err
	}
	drop, err := normalize(h.CapDrop, "CapDrop")
	if err != nil {
		return nil, err
	}
	var list []string
	switch {
	case h.Privileged:
		return sets(allCapabilities()), nil
	case slices.Contains(add, all):
		list, add = allCapabilities(), nil
	case slices.Contains(drop, all):
		drop = nil
	default:
		list = defaultCapabilities()
	}
	list = slices.DeleteFunc(list, func(c string) bool { return slices.Contains(drop, c) })
	for _, c := range add {
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return sets(list), nil
}

// normalize returns names in the kernel's form.
func normalize(list []string, option string) ([]string, error) {
	var names []string
	for _, c := range list {
		name := strings.ToUpper(strings.TrimSpace(c))
		if name != all {
			if !strings.HasPrefix(name, "CAP_") {
				name = "CAP_" + name
			}
			if !slices.Contains(caps.Names(), name) {
				return nil, invalid("invalid %s: unknown capability: %q", option, c)
			}
		}
		names = append(names, name)
	}
	return names, nil
}

// sets leaves the inheritable and ambient ones empty: a program of another user
// than root gets none by execve.
func sets(list []string) *specs.LinuxCapabilities {
	return &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list}
}

// security is what --security-opt says.
type security struct {
	noNewPrivileges bool
	openPaths       bool   // nothing masked or read-only
	writableCgroups bool   // /sys/fs/cgroup can be written
	seccomp         string // a profile's JSON, or unconfined, or ""
	warnings        []string
}

const unconfined = "unconfined"

func parseSecurity(options []string) (security, error) {
	var s security
	for _, o := range options {
		if o == "no-new-privileges" {
			s.noNewPrivileges = true
			continue
		}
		if o == "disable" {
			continue // label=disable, of old
		}
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			if key, value, ok = strings.Cut(o, ":"); !ok {
				return s, invalid("invalid --security-opt 1: %q", o)
			}
		}
		if err := s.option(o, key, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *security) option(o, key, value string) (err error) {
	switch key {
	case "no-new-privileges":
		s.noNewPrivileges, err = strconv.ParseBool(value)
	case "writable-cgroups":
		s.writableCgroups, err = strconv.ParseBool(value)
	case "seccomp":
		s.seccomp = value
	case "systempaths":
		if value != unconfined {
			return invalid("invalid --security-opt 2: %q (systempaths can only be unconfined)", o)
		}
		s.openPaths = true
	case "apparmor":
		if value != unconfined {
			s.warnings = append(s.warnings, fmt.Sprintf("AppArmor profiles are not supported; security-opt %q was ignored.", o))
		}
	case "label":
		if value != "disable" {
			s.warnings = append(s.warnings, fmt.Sprintf("SELinux labels are not supported; security-opt %q was ignored.", o))
		}
	default:
		return invalid("invalid --security-opt 2: %q", o)
	}
	if err != nil {
		return invalid("invalid --security-opt 2: %q (%s is true or false)", o, key)
	}
	return nil
}

func (b *builder) seccomp() error {
	profile := b.security.seccomp
	switch {
	case profile == unconfined, profile == "" && b.host.Privileged:
		return nil
	case profile == "" || profile == "builtin":
		s, err := seccomp.GetDefaultProfile(b.spec)
		if err != nil {
			return fmt.Errorf("make the default seccomp profile: %w", err)
		}
		b.spec.Linux.Seccomp = s
		return nil
	}
	s, err := seccomp.LoadProfile(profile, b.spec)
	if err != nil {
		return invalid("security-opt seccomp: %v", err)
	}
	b.spec.Linux.Seccomp = s
	return nil
}
