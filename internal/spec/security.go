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
	appArmor        string // a profile's name, or unconfined, or ""
}

// Unconfined is for no seccomp or AppArmor profile.
const Unconfined = "unconfined"

// DefaultAppArmor is the profile of containers that ask for none: Docker's.
const DefaultAppArmor = "docker-default"

// AppArmorProfile is a container's, given whether the host enforces AppArmor; ""
// without, whatever was asked for.
func AppArmorProfile(h *container.HostConfig, enforced bool) string {
	s, err := parseSecurity(h.SecurityOpt)
	switch {
	case !enforced || err != nil:
		return ""
	case s.appArmor != "":
		return s.appArmor
	case h.Privileged:
		return Unconfined
	}
	return DefaultAppArmor
}

// labels refuses what the host has no means for. Docker's default profile is no
// loss where there is no AppArmor: nobody has it there.
func (b *builder) labels() error {
	name := b.security.appArmor
	if name != "" && name != Unconfined && name != DefaultAppArmor && !b.AppArmor {
		return invalid("security-opt apparmor=%s: AppArmor is not enabled on this host; leave the option out", name)
	}
	return nil
}

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
		if value != Unconfined {
			return invalid("invalid --security-opt 2: %q (systempaths can only be unconfined)", o)
		}
		s.openPaths = true
	case "apparmor":
		if value == "" || strings.ContainsAny(value, " \t\n\x00") {
			return invalid("invalid --security-opt 2: %q (apparmor takes the name of a profile, or unconfined)", o)
		}
		s.appArmor = value
	case "label":
		if value != "disable" {
			return invalid("security-opt %q: the engine gives no SELinux labels; leave the option out, or use label=disable", o)
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
	case profile == Unconfined, profile == "" && b.host.Privileged:
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
