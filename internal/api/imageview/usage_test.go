package imageview

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/image"
)

func stacked(layers ...string) image.Image {
	var img image.Image
	for i, l := range layers {
		img.Layers = append(img.Layers, digest.FromString(l))
		img.LayerBytes = append(img.LayerBytes, int64(10*(i+1)))
	}
	return img
}

func TestShares(t *testing.T) {
	base, app, other := stacked("base"), stacked("base", "app"), stacked("x", "app")
	shares := Share([]image.Image{base, app, other})
	for _, row := range []struct {
		img  image.Image
		want int64
	}{{base, 10}, {app, 10}, {other, 0}, {image.Image{Layers: app.Layers}, 0}} {
		if got := shares.Of(row.img); got != row.want {
			t.Errorf("%v: %d, want %d", row.img.Layers, got, row.want)
		}
	}
	for _, row := range []struct {
		gone, left []image.Image
		want       int64
	}{
		{[]image.Image{app}, []image.Image{base, other}, 20},
		{[]image.Image{app, base}, []image.Image{other}, 30},
		{[]image.Image{app, app}, nil, 30},
		{nil, []image.Image{base}, 0},
	} {
		if got := Freed(row.gone, row.left); got != row.want {
			t.Errorf("%d and %d images: %d, want %d", len(row.gone), len(row.left), got, row.want)
		}
	}
}
