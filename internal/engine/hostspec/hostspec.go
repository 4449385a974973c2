// Package hostspec completes a container's specification by what this host has:
// devices that CDI files describe, the default AppArmor profile. It looks anew
// each time and keeps nothing; a profile that was loaded stays in the kernel.
package hostspec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/profiles/apparmor"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/berth-containers/berth/internal/spec"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/process"
)

// Host is what specifications are completed by.
type Host struct {
	CDIDirs []string // later ones take precedence; none: there is no CDI
	// AppArmor is whether the kernel enforces it; Load and Loaded are
	// apparmor_parser and the kernel's list of profiles.
	AppArmor bool
	Load     func(profile string) error
	Loaded   func(profile string) (bool, error)
}

// This is the host that the engine runs on.
func This(cdiDirs []string) Host {
	return Host{CDIDirs: cdiDirs, AppArmor: hasAppArmor(), Load: apparmor.InstallDefault, Loaded: apparmor.IsLoaded}
}

// hasAppArmor is, as with Docker, whether profiles can be had as well: a kernel that
// enforces AppArmor may be without securityfs or without the parser, and then its
// containers run without a profile.
func hasAppArmor() bool {
	if !process.HasAppArmor("/") {
		return false
	}
	if _, err := os.Stat("/sys/kernel/security/apparmor/profiles"); err != nil {
		return false
	}
	_, err := exec.LookPath("apparmor_parser")
	return err == nil
}

// Build is spec.Build and what the host adds.
func (h Host) Build(in spec.Input) (spec.Output, error) {
	in.AppArmor = h.AppArmor
	out, err := spec.Build(in)
	if err != nil {
		return out, err
	}
	limits := in.Record.HostConfig.Resources
	if err := errors.Join(spreads(in.Record.Mounts), processors(limits.CpusetCpus, limits.CpusetMems)); err != nil {
		return out, err
	}
	for _, r := range in.Record.HostConfig.DeviceRequests {
		if err := h.request(out.Spec, r); err != nil {
			return out, err
		}
	}
	lacking, err := cgroup.Lacking(out.Spec.Linux.Resources)
	if err != nil {
		return out, err
	}
	out.Warnings = append(out.Warnings, lacking...)
	return out, h.profile(out.Spec.Process.ApparmorProfile)
}

// profile has the default profile loaded, and others found.
func (h Host) profile(name string) error {
	if name == "" || name == spec.Unconfined {
		return nil
	}
	loaded, err := h.Loaded(name)
	if err != nil {
		return fmt.Errorf("look for AppArmor profile %s: %w", name, err)
	}
	switch {
	case loaded:
		return nil
	case name != spec.DefaultAppArmor:
		return invalid("security-opt apparmor=%s: the kernel has no such profile; load it with apparmor_parser", name)
	}
	if err := h.Load(name); err != nil {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("AppArmor is enabled on this host but its profile %s could not be loaded (install apparmor_parser, or run with --security-opt apparmor=unconfined): %v", name, err))
	}
	return nil
}

// request adds devices to a specification.
func (h Host) request(s *specs.Spec, r container.DeviceRequest) error {
	no := invalid("could not select device driver %q with capabilities: %v", r.Driver, r.Capabilities)
	switch r.Driver {
	case "cdi":
		if r.Count != 0 {
			return invalid("unexpected count in CDI device request")
		}
		if len(r.Options) > 0 {
			return invalid("unexpected options in CDI device request")
		}
		return h.inject(s, r.DeviceIDs)
	case "":
		if !wantsGPU(r.Capabilities) {
			return no
		}
	case "nvidia", "nvidia.cdi", "amd", "amd.cdi":
	default:
		return no
	}
	kind, err := h.gpus(strings.TrimSuffix(r.Driver, ".cdi"))
	if err != nil {
		return err
	}
	if kind == "" {
		return no
	}
	names, err := gpuNames(r, kind)
	if err != nil {
		return err
	}
	return h.inject(s, names)
}

// wantsGPU is whether one of the alternatives is of what GPUs have.
func wantsGPU(alternatives [][]string) bool {
	has := []string{"gpu", "nvidia", "amd", "compute", "compat32", "graphics", "utility", "video", "display"}
	return slices.ContainsFunc(alternatives, func(all []string) bool {
		return len(all) > 0 && !slices.ContainsFunc(all, func(c string) bool { return !slices.Contains(has, c) })
	})
}

// gpus is the kind of device of the vendor whose GPUs the CDI files describe.
func (h Host) gpus(vendor string) (kind string, err error) {
	cache, err := h.cache()
	if err != nil {
		return "", err
	}
	for _, known := range []string{"nvidia", "amd"} {
		if vendor == "" || vendor == known {
			if slices.Contains(cache.ListVendors(), known+".com") {
				return known + ".com/gpu", nil
			}
		}
	}
	return "", nil
}

func gpuNames(r container.DeviceRequest, kind string) ([]string, error) {
	ids := slices.Clone(r.DeviceIDs)
	switch {
	case r.Count != 0 && len(ids) > 0:
		return nil, invalid("cannot set both Count and DeviceIDs on device request")
	case r.Count < 0:
		ids = []string{"all"}
	default:
		for i := range min(r.Count, maxGPUs) {
			ids = append(ids, strconv.Itoa(i))
		}
	}
	for i, id := range ids {
		if !strings.Contains(id, "=") {
			ids[i] = kind + "=" + id
		}
	}
	return ids, nil
}

// maxGPUs is more than a host has: a request for more fails by the first that is missing.
const maxGPUs = 1024

func (h Host) cache() (*cdi.Cache, error) {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(h.CDIDirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, fmt.Errorf("read the CDI files: %w", err)
	}
	return cache, nil
}

func (h Host) inject(s *specs.Spec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if !parser.IsQualifiedName(name) {
			return invalid("invalid CDI device name %q: write VENDOR/CLASS=NAME", name)
		}
	}
	cache, err := h.cache()
	if err != nil {
		return err
	}
	if _, err := cache.InjectDevices(s, names...); err != nil {
		return invalid("CDI device injection failed: %v (CDI files are read from %s)%s", err, strings.Join(h.CDIDirs, ", "), problems(cache))
	}
	return nil
}

// problems are those of the files, which may be why a device is not there.
func problems(cache *cdi.Cache) string {
	var b strings.Builder
	for path, all := range cache.GetErrors() {
		for _, err := range all {
			fmt.Fprintf(&b, "; %s: %v", path, err)
		}
	}
	return b.String()
}
