package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
)

// readSpec reads a bundle's configuration; also as the text that it is.
func readSpec(bundle string) (*specs.Spec, []byte, error) {
	path := filepath.Join(bundle, "config.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("%s is not a bundle: it has no config.json; berth-runtime spec makes one", bundle))
	}
	if err != nil {
		return nil, nil, err
	}
	spec := &specs.Spec{}
	if err := leanjson.Unmarshal(b, spec); err != nil {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("read %s: %v", path, err))
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	if err := check(spec); err != nil {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %v", path, err))
	}
	return spec, b, nil
}

// check finds what no container could be made of. What depends on the host is
// the runtime's to find.
func check(spec *specs.Spec) error {
	if err := checkVersion(spec.Version); err != nil {
		return err
	}
	if spec.Root != nil && spec.Root.Path == "" {
		return errors.New(`root.path is empty: name the directory of the root file system`)
	}
	for i, m := range spec.Mounts {
		if m.Destination == "" {
			return fmt.Errorf("mounts[%d].destination is empty: name the place of the mount", i)
		}
	}
	return checkProcess(spec.Process)
}

func checkProcess(p *specs.Process) error {
	switch {
	case p == nil:
		return errors.New("process is missing: name the program to run")
	case len(p.Args) == 0:
		return errors.New("process.args is empty: name the program to run")
	case !filepath.IsAbs(p.Cwd):
		return fmt.Errorf("process.cwd %q is not absolute", p.Cwd)
	}
	seen := map[string]bool{}
	for i, l := range p.Rlimits {
		if seen[l.Type] {
			return fmt.Errorf("process.rlimits[%d].type %q is there twice", i, l.Type)
		}
		if l.Soft > l.Hard {
			return fmt.Errorf("process.rlimits[%d].soft %d is above its hard limit %d", i, l.Soft, l.Hard)
		}
		seen[l.Type] = true
	}
	return nil
}

// checkVersion takes all of version 1: later ones only add.
func checkVersion(v string) error {
	if v == "" {
		return errors.New("ociVersion is missing: give " + specs.Version)
	}
	major, rest, _ := strings.Cut(v, ".")
	minor, patch, found := strings.Cut(rest, ".")
	patch, _, _ = strings.Cut(patch, "-")
	patch, _, _ = strings.Cut(patch, "+")
	_, minorErr := strconv.ParseUint(minor, 10, 32)
	_, patchErr := strconv.ParseUint(patch, 10, 32)
	if !found || minorErr != nil || patchErr != nil {
		return fmt.Errorf("ociVersion %q is not a version such as %s", v, specs.Version)
	}
	if major != "1" {
		return fmt.Errorf("ociVersion %q is not supported: this version takes 1.0.0 to %s", v, specs.Version)
	}
	return nil
}
