// Package names makes up names for containers (adjective_surname) and IDs, and
// judges those that users give. Whether a name is free is not its to know.
package names

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
)

const adjectives = `able airy amber ample apt balmy bold brave breezy brisk calm candid casual civil clear clever
cosy crisp curious daring deft dapper eager earnest easy elated exact fair famed fearless fine fit fleet fluent fond frank fresh
gentle genial glad golden grand handy happy hardy hearty honest humble ideal jolly jovial just keen kind lasting level light
limber lively loyal lucid lucky mellow merry mighty mild modest neat nimble noble open patient placid plucky polite prime proud
quick quiet rapid ready regal robust rosy savvy serene sharp silent sleek smart snug sober solid spry stable steady stoic
sturdy subtle sunny swift tender thrifty tidy tranquil trusty upbeat valiant vivid warm wary wise witty zesty`

const surnames = `abel agnesi alhazen ampere anning apgar archimedes aryabhata avogadro babbage bell bernoulli bessel
bhabha blackburn bohr boole borg bose boyd brahe brown burnell cannon cantor carson cartwright cauchy cerf chandra clarke colden
cori cray curie darwin diffie dijkstra dirac driscoll edison einstein elion engelbart erdos euclid euler faraday feistel fermat
fermi feynman franklin galileo galois gates gauss germain goldberg goodall hamilton hawking heisenberg hellman hermann hertz
hodgkin hopper hypatia jackson jang jennings jepsen johnson joliot kalam kapitsa keller kepler khayyam khorana kilby kirch knuth
lamport leakey leavitt lederberg lehmann lewin liskov lovelace lumiere mahavira maxwell mayer mccarthy mcclintock meitner mendel
mendeleev mirzakhani morse napier nash neumann newton nightingale nobel noether noyce pascal pasteur payne perlman pike planck
poincare ptolemy raman ramanujan ride ritchie roentgen rosalind rubin saha sammet shannon shaw shockley sinoussi snyder spence
stallman stonebraker swanson swartz swirles tesla tharp thompson torvalds turing varahamihira vaughan villani visvesvaraya volhard
wescoff wiles williams wilson wing wozniak wright yalow yonath zhukovsky`

// Pick tries made-up names until taken accepts one; it never runs dry.
func Pick(reserve func(name string) error) (string, error) {
	for i := range 10000 {
		name := word(adjectives) + "_" + word(surnames)
		if i >= 10 { // crowded: a number makes it unique
			name += fmt.Sprint(i)
		}
		err := reserve(name)
		if err == nil {
			return name, nil
		}
		if !errdefs.IsConflict(err) {
			return "", err
		}
	}
	return "", errdefs.ErrResourceExhausted.WithMessage("no made-up container name is free; give one with --name")
}

func word(list string) string {
	words := strings.Fields(list)
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(words))))
	if err != nil { // crypto/rand does not fail on Linux
		return words[0]
	}
	return words[n.Int64()]
}

// NewID returns 64 random hex digits, never all decimal at the front: a short
// ID that looks like a number confuses tools.
func NewID() string {
	for {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		id := hex.EncodeToString(b[:])
		if strings.ContainsAny(id[:12], "abcdef") {
			return id
		}
	}
}

// Check returns InvalidArgument, in Docker's words, for a name that a container
// may not have; it returns the name without its leading slash.
func Check(name string) (string, error) {
	trimmed := strings.TrimPrefix(name, "/")
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`).MatchString(trimmed) {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name))
	}
	return trimmed, nil
}
