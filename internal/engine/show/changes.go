package show

import (
	"slices"
	"strings"

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
	dropped := []string{}
	// From the end: what is in a folder comes before the folder.
	for _, c := range slices.Backward(list) {
		under := func(path string) bool { return strings.HasPrefix(path, c.Path+"/") }
		full := slices.ContainsFunc(kept, func(k api.FilesystemChange) bool { return under(k.Path) })
		engines := c.Kind == api.ChangeAdd && slices.Contains(ours, c.Path)
		if !full && c.Kind != api.ChangeDelete && (engines || slices.ContainsFunc(dropped, under)) {
			dropped = append(dropped, c.Path)
			continue
		}
		kept = append(kept, c)
	}
	slices.Reverse(kept)
	return kept
}
