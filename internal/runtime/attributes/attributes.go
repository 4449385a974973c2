// Package attributes checks what a specification says of a process and resolves
// it to what the kernel takes, before anything is made: an error names the field
// and its value. It changes nothing.
package attributes

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/caps"
	"github.com/berth-containers/berth/internal/sys/process"
)

// Host is what the kernel can do.
type Host struct{ AppArmor, SELinux bool }

// Resolve returns the attributes of p, a process in a container of l.
func Resolve(p *specs.Process, l *specs.Linux, host Host) (process.Attributes, error) {
	var a process.Attributes
	for _, step := range []func() error{
		func() error { return check(p) },
		func() (err error) { a.Scheduler, err = scheduler(p.Scheduler); return },
		func() (err error) { a.IOPriority, err = ioPriority(p.IOPriority); return },
		func() (err error) { a.Memory, err = memoryPolicy(l.MemoryPolicy); return },
		func() (err error) { a.Personality, err = personality(l.Personality); return },
		func() (err error) { a.Label, err = label(p, host); return },
	} {
		if err := step(); err != nil {
			return process.Attributes{}, err
		}
	}
	return a, nil
}

// Affinity returns the processors of a process that joins a container: before it
// has joined the cgroup, and after. Nil is no change.
func Affinity(a *specs.CPUAffinity) (initial, final process.Mask, err error) {
	if a == nil {
		return nil, nil, nil
	}
	for _, row := range []struct {
		name, value string
		mask        *process.Mask
	}{{"initial", a.Initial, &initial}, {"final", a.Final, &final}} {
		if row.value == "" {
			continue
		}
		if *row.mask, err = process.ParseMask(row.value); err != nil {
			return nil, nil, invalid("process.execCPUAffinity.%s %q: %v; give a list such as 0-3,7", row.name, row.value, err)
		}
	}
	return initial, final, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// check is about the fields that need no resolving.
func check(p *specs.Process) error {
	if len(p.Args) == 0 {
		return invalid("no command specified")
	}
	if p.Cwd != "" && !path.IsAbs(p.Cwd) {
		return invalid("process.cwd %q is not an absolute path", p.Cwd)
	}
	for _, list := range [][]string{p.Args, {p.Cwd}} {
		for _, s := range list {
			if strings.ContainsRune(s, 0) {
				return invalid("process: %q has a NUL byte in it", s)
			}
		}
	}
	for _, e := range p.Env {
		if strings.IndexByte(e, '=') < 1 || strings.ContainsRune(e, 0) {
			return invalid("process.env: %q is not of the form NAME=value", e)
		}
	}
	if u := p.User.Umask; u != nil && *u > 0o777 {
		return invalid("process.user.umask %#o is above 0777", *u)
	}
	if s := p.OOMScoreAdj; s != nil && (*s < -1000 || *s > 1000) {
		return invalid("process.oomScoreAdj %d is not between -1000 and 1000", *s)
	}
	if s := p.ConsoleSize; p.Terminal && s != nil && (s.Height > math.MaxUint16 || s.Width > math.MaxUint16) {
		return invalid("process.consoleSize %d × %d is above %d", s.Height, s.Width, math.MaxUint16)
	}
	if err := rlimits(p.Rlimits); err != nil {
		return err
	}
	if _, _, err := Affinity(p.ExecCPUAffinity); err != nil {
		return err
	}
	return capabilities(p.Capabilities)
}

func rlimits(list []specs.POSIXRlimit) error {
	for i, l := range list {
		if _, ok := process.LimitNumber(l.Type); !ok {
			return invalid("process.rlimits: unknown rlimit %q", l.Type)
		}
		if slices.ContainsFunc(list[:i], func(o specs.POSIXRlimit) bool { return o.Type == l.Type }) {
			return invalid("process.rlimits: %s is there twice", l.Type)
		}
		if l.Soft > l.Hard {
			return invalid("process.rlimits: %s has a soft limit of %d above the hard one, %d", l.Type, l.Soft, l.Hard)
		}
	}
	return nil
}

// capabilities checks what capset(2) would refuse. What is ambient and not
// inheritable the init leaves out, with a warning.
func capabilities(c *specs.LinuxCapabilities) error {
	if c == nil {
		return nil
	}
	set := func(list []string) caps.Set { s, _ := caps.Parse(list); return s }
	permitted := set(c.Permitted)
	for _, row := range []struct {
		name   string
		lacks  caps.Set
		within string
	}{
		{"effective", set(c.Effective) &^ permitted, "permitted"},
		{"inheritable", set(c.Inheritable) &^ set(c.Bounding), "bounding"},
		{"ambient", set(c.Ambient) &^ permitted, "permitted"},
	} {
		if row.lacks != 0 {
			return invalid("process.capabilities: %s is in %q, but not in %q; add it there", row.lacks, row.name, row.within)
		}
	}
	return nil
}

func label(p *specs.Process, host Host) (process.Label, error) {
	l := process.Label{AppArmor: p.ApparmorProfile, SELinux: p.SelinuxLabel}
	if !host.AppArmor && l.AppArmor == "unconfined" {
		l.AppArmor = "" // it is
	}
	if l.AppArmor != "" && !host.AppArmor {
		return l, invalid("process.apparmorProfile %q: AppArmor is not enabled on this host; take the profile out of the specification", l.AppArmor)
	}
	if l.SELinux != "" && !host.SELinux {
		return l, invalid("process.selinuxLabel %q: SELinux is not enabled on this host; take the label out of the specification", l.SELinux)
	}
	if l.AppArmor != "" && l.SELinux != "" {
		return l, invalid("process.apparmorProfile %q and process.selinuxLabel %q exclude each other", l.AppArmor, l.SELinux)
	}
	return l, nil
}
