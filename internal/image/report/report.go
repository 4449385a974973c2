// Package report is what the verbs of images answer, as it travels in JSON
// between the engine and its clients. It is plain values, and small, as the
// command line links it.
package report

import "time"

// Tree is the layers of an image as people look at them.
type Tree struct {
	ID          string
	Names       []string
	Bytes       int64 // of the files of all layers
	WastedBytes int64 // of files that an upper layer replaces or deletes
	Layers      []Layer
}

// Layer is one layer, and what it does to those below it. Directories do not count.
type Layer struct {
	Digest                  string // of the blob
	DiffID                  string
	Created                 *time.Time `json:",omitempty"`
	CreatedBy               string
	PackedBytes             int64
	Bytes                   int64 // of its files
	Added, Changed, Deleted int
	WastedBytes             int64 // of the layers below
}

// The kinds of a Difference.
const (
	Added   = "added"
	Changed = "changed"
	Deleted = "deleted"
)

// Difference is one path that is not the same in two trees.
type Difference struct {
	Path string // absolute
	Kind string
	// What says, of a changed one, in what it differs: kind, content, mode,
	// owner, target, device, attributes.
	What []string `json:",omitempty"`
	// From and To are the bytes of the file in the first and the second tree.
	From, To int64
}

// Flattened is an image of one layer that was made of another one.
type Flattened struct {
	ID   string
	Name string `json:",omitempty"`
	// Layers, Before and After are the number of layers that were, and the
	// unpacked bytes of both images.
	Layers        int
	Before, After int64
}

// Mounted is an image that is seen at a directory.
type Mounted struct {
	Dir   string
	Image string // as it was named
	ID    string
	Own   bool // the engine made the directory
}

// Verified is what was found of one name.
type Verified struct {
	Image    string
	Blobs    int
	Bytes    int64 // that were read
	Layers   int   // that are unpacked and were compared
	Problems []Problem
}

// Problem is one thing that is not as its digest says.
type Problem struct {
	What string // such as "layer" or "unpacked layer"
	ID   string // the digest
	Text string
	Step string // what to do
}

// Blob is one of the blobs that make up an image.
type Blob struct {
	Digest string
	Bytes  int64
}
