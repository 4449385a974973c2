// Package version holds the release that the binaries were built from.
package version

// Version is set at link time from git.
var Version = "unknown"
