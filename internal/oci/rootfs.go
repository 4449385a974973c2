// Package oci holds the plain values of the OCI world that the parts of Berth
// hand to one another: what a root filesystem is made of, which image a
// reference names. It does nothing and keeps nothing.
package oci

// Rootfs says of which directories a container's root filesystem is stacked.
// The snapshot store emits it and the runtime mounts it inside the container's
// own mount namespace, so nothing is ever mounted on the host.
type Rootfs struct {
	// Lowers are the read-only layers, the topmost first (overlayfs order).
	Lowers []string `json:"lowers"`
	// Upper and Work are the writable layer and overlayfs's work directory.
	Upper string `json:"upper"`
	Work  string `json:"work"`
	// Host is set for the image "host": the root filesystem of the running
	// system ("/", without the mounts below it) lies under the layers in
	// Lowers, which are then empty.
	Host bool `json:"host,omitempty"`
	// Hidden are absolute paths that must not be seen in a Host rootfs
	// (/etc/shadow, the engine's own roots): they are covered by whiteouts, or
	// by an empty directory if they end in "/".
	Hidden []string `json:"hidden,omitempty"`
}
