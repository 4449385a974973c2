package container

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// Status is Docker's word for where a container is in its life.
type Status string

// The states. Restarting is between an exit and the next run that the restart
// policy asks for; Removing is on the way out, and Dead could not be removed.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Exited     Status = "exited"
	Removing   Status = "removing"
	Dead       Status = "dead"
)

// Op is what may happen to a container.
type Op string

// The operations. Exit is the end of a run; Retry an end that the restart
// policy answers with another run; Fail a removal that did not work.
const (
	Start   Op = "start"
	Pause   Op = "pause"
	Unpause Op = "unpause"
	Exit    Op = "exit"
	Retry   Op = "retry"
	Remove  Op = "remove"
	Fail    Op = "fail"
)

// After returns the state that follows s when op succeeds; a pair that the
// table lacks is a Conflict.
func (s Status) After(op Op) (Status, error) {
	if next, ok := moves(s)[op]; ok {
		return next, nil
	}
	return s, errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot %s a container that is %s", op, s))
}

// moves is the whole life of a container.
func moves(s Status) map[Op]Status {
	switch s {
	case Created:
		return map[Op]Status{Start: Running, Remove: Removing}
	case Running:
		return map[Op]Status{Pause: Paused, Exit: Exited, Retry: Restarting}
	case Paused: // a frozen process can be killed
		return map[Op]Status{Unpause: Running, Exit: Exited, Retry: Restarting}
	case Restarting: // Exit: the user stops it before the next run
		return map[Op]Status{Start: Running, Exit: Exited, Retry: Restarting}
	case Exited:
		return map[Op]Status{Start: Running, Remove: Removing, Retry: Restarting}
	case Removing:
		return map[Op]Status{Fail: Dead, Remove: Removing}
	case Dead:
		return map[Op]Status{Remove: Removing}
	}
	return nil
}

// Alive is whether a process of the container exists.
func (s Status) Alive() bool { return s == Running || s == Paused }
