package rights

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// MaxPassword is what bcrypt looks at; a longer password is refused when it is
// set, not cut.
const MaxPassword = 72

// NewSecret makes a password or a key's secret: 192 random bits.
func NewSecret() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails, from Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashPassword(password string) (string, error) {
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(b), err
}

// hashSecret is enough for a key: its secret is random, so nothing can be guessed.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Verifier checks passwords. Bcrypt is slow on purpose: at most two are
// computed at once, so that guesses can't take the machine, and one that was
// right is remembered, as a keyed hash, until the file has another for the name.
type Verifier struct {
	slots chan struct{}
	key   []byte
	mu    sync.Mutex
	right map[string]string // name → keyed hash of its password and stored hash
	dummy string
}

// NewVerifier makes one.
func NewVerifier() (*Verifier, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	dummy, err := hashPassword(NewSecret())
	if err != nil {
		return nil, err
	}
	return &Verifier{slots: make(chan struct{}, 2), key: secret, right: map[string]string{}, dummy: dummy}, nil
}

// Verify says whether a name's password is right. An unknown name takes as
// long as a wrong password. It fails only with ctx.
func (v *Verifier) Verify(ctx context.Context, r *Rights, name, password string) (bool, error) {
	id, known := r.identities[name]
	if known && id.kind == key {
		return subtle.ConstantTimeCompare([]byte(hashSecret(password)), []byte(id.hash)) == 1, nil
	}
	hash := v.dummy
	if known && id.kind == user {
		hash = id.hash
	}
	mac := v.mac(password, hash)
	v.mu.Lock()
	remembered := v.right[name]
	v.mu.Unlock()
	if hmac.Equal([]byte(remembered), []byte(mac)) {
		return true, nil
	}
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil || hash == v.dummy {
		return false, nil
	}
	v.mu.Lock()
	v.right[name] = mac
	v.mu.Unlock()
	return true, nil
}

func (v *Verifier) mac(password, hash string) string {
	h := hmac.New(sha256.New, v.key)
	h.Write([]byte(hash + "\x00" + password))
	return string(h.Sum(nil))
}
