package executor

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// optionBytes is the longest value that fsconfig takes for one option.
const optionBytes = 255

// nameLayers names the layers of an overlay one by one where all of them in one
// option would be too long for the kernel.
func nameLayers(s *specs.Spec) {
	long := func(o string) bool { return strings.HasPrefix(o, "lowerdir=") && len(o) > len("lowerdir=")+optionBytes }
	for i, m := range s.Mounts {
		if m.Type != "overlay" || !slices.ContainsFunc(m.Options, long) {
			continue
		}
		var options []string
		for _, o := range m.Options {
			layers, ok := strings.CutPrefix(o, "lowerdir=")
			switch {
			case ok:
				for layer := range strings.SplitSeq(layers, ":") {
					options = append(options, "lowerdir+="+layer)
				}
			case o != "index=off" && o != "redirect_dir=off": // the runtime's own choice, and the kernel's default
				options = append(options, o)
			}
		}
		s.Mounts[i].Options = options
	}
}
