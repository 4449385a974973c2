package imageview

import (
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/berth-containers/berth/internal/image"
)

// Shares counts for each chain of layers the images that stand on it.
type Shares map[digest.Digest]int

// Share counts the chains of images.
func Share(images []image.Image) Shares {
	s := Shares{}
	for _, img := range images {
		for _, chain := range chains(img) {
			s[chain]++
		}
	}
	return s
}

// Of is the space of img's layers that another image stands on, too.
func (s Shares) Of(img image.Image) int64 {
	var sum int64
	for i, chain := range chains(img) {
		if s[chain] > 1 {
			sum += img.LayerBytes[i]
		}
	}
	return sum
}

// Freed is the space of the layers of gone that no image of left stands on.
func Freed(gone, left []image.Image) int64 {
	var sum int64
	counted := Share(left)
	for _, img := range gone {
		for i, chain := range chains(img) {
			if counted[chain] == 0 {
				sum += img.LayerBytes[i]
			}
			counted[chain]++
		}
	}
	return sum
}

// chains are the chain IDs of img's layers, the lowest first, as far as their
// sizes are known.
func chains(img image.Image) []digest.Digest {
	if len(img.LayerBytes) < len(img.Layers) {
		return nil
	}
	return identity.ChainIDs(append([]digest.Digest{}, img.Layers...))
}
