package cgroup

import (
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
)

// Lacking lists Docker's warnings for the limits that a group made with Discard
// would be without on this host. It makes no group.
func Lacking(res *specs.LinuxResources) ([]string, error) {
	l := current()
	if res == nil || l.mode == None {
		return nil, nil
	}
	list, err := Settings(res)
	if err != nil {
		return nil, err
	}
	var warnings []string
	for _, s := range list {
		if s.Discarded != "" && !s.Optional && !l.offers(s) {
			warnings = append(warnings, s.Discarded)
		}
	}
	return warnings, nil
}

// offers is whether groups have a setting's file. The root group lacks many, so
// any other is looked at; where there is none, the controller says enough.
func (l *layout) offers(s limit.Setting) bool {
	h, ok := l.find(s.Controller)
	if !ok || h.unified && !contains(h.root, s.Controller) {
		return false
	}
	entries, err := os.ReadDir(h.root)
	if err != nil {
		return true
	}
	for _, e := range entries {
		dir := filepath.Join(h.root, e.Name())
		if !e.IsDir() || h.unified && !contains(dir, s.Controller) {
			continue
		}
		if exists(filepath.Join(dir, s.File)) || s.Other != nil && exists(filepath.Join(dir, s.Other.File)) {
			return true
		}
		if exists(dir) { // it has not gone meanwhile
			return false
		}
	}
	return true
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
