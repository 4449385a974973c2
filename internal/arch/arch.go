// Package arch holds the tests of the code's shape: which part may import
// which, how big a file, a function, a type or a package may grow, and what
// each binary links.
package arch
