package runtime

// gate holds a created container back before execve.
type gate struct{}
