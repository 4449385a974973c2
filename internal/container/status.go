package container

// Status is Docker's word for where a container is in its life.
type Status string
