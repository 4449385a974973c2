// Package build is `berth build`: it solves a Dockerfile by the engine's
// BuildKit API, with the user's files, secrets and agents served over a session.
//
// Only `berth-buildclient` links it: what it needs costs each start far more
// than the rest of the client does. `berth build` becomes that program.
//
// A command is options, as typed; a plan, what is asked of the engine; and a
// run. Files go to the engine as the difference to what it has of that folder.
// A crash leaves nothing of the client's behind but a Dockerfile from standard
// input in the folder for temporary files, and what --output wrote so far.
package build
