// Package engine carries out the container verbs.
//
// A container is a record (what the user asked for and what became of it) and,
// while it runs, a run: one execution of its process by the shim. Records are
// kept in <data-root>/engine.db, one transaction a change; in memory they are
// immutable values swapped by pointer, so listing waits for no disk and for no
// container. Verbs of one container follow one another; no lock is held over
// two containers.
//
// An exit wakes who waits for it first; storing it, taking the network away and
// restarting follow. The engine may die at any point: containers run on in the
// shim, which keeps their exits until the engine has stored them. New compares
// the records with the shim and the kernel and finishes what was begun.
package engine
