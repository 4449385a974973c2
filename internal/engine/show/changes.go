package show

import (
	"path"
	"slices"

	api "github.com/moby/moby/api/types/container"
)

// ours are the places that the engine makes in every container for what it mounts there.
var ours = []string{
	"/.dockerenv", "/dev", "/dev/console", "/dev/pts", "/dev/shm", "/proc", "/sys",
	"/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf",
}

// Changes leaves out what the engine made and not the container, with the folders
// that changed by nothing else. The list is sorted by path.
func Changes(list []api.FilesystemChange) []api.FilesystemChange {
	kept := make([]api.FilesystemChange, 0, len(list))
	full, emptied := folders{}, folders{}
	// From the end: what is in a folder comes before the folder.
	for _, c := range slices.Backward(list) {
		engines := c.Kind == api.ChangeAdd && slices.Contains(ours, c.Path)
		if !full[c.Path] && c.Kind != api.ChangeDelete && (engines || emptied[c.Path]) {
			emptied.above(c.Path)
			continue
		}
		full.above(c.Path)
		kept = append(kept, c)
	}
	slices.Reverse(kept)
	return kept
}

type folders map[string]bool

// above adds the folders that a path is in.
func (f folders) above(name string) {
	for dir := path.Dir(name); !f[dir]; dir = path.Dir(dir) {
		f[dir] = true
	}
}
