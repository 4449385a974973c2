package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/berth-containers/berth/internal/registry/rights"
)

// tokenLife is how long a client needs not to show its password again.
const tokenLife = 15 * time.Minute

// claims say who somebody is, not what they may do: that is judged at each
// request, so a change of the rights file counts at once.
type claims struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // of the credential it was got with
	Expires     int64  `json:"expires"`     // seconds since 1970
}

// tokens signs and checks tokens with a key that outlives a restart.
type tokens struct{ key []byte }

var errToken = errors.New("the token is not valid any more")

func (t tokens) sign(r *rights.Rights, name string, now time.Time) (string, error) {
	payload, err := json.Marshal(claims{name, t.mac(r.Fingerprint(name)), now.Add(tokenLife).Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(payload)
	return text + "." + t.mac(text), nil
}

func (t tokens) verify(r *rights.Rights, token string, now time.Time) (name string, err error) {
	text, mac, ok := strings.Cut(token, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(t.mac(text))) {
		return "", errToken
	}
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", errToken
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", errToken
	}
	if now.Unix() >= c.Expires || c.Name != "" && !r.Known(c.Name) || c.Fingerprint != t.mac(r.Fingerprint(c.Name)) {
		return "", errToken
	}
	return c.Name, nil
}

func (t tokens) mac(text string) string {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
