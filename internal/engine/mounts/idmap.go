package mounts

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"
)

// IDMapAnnotation and the destination of a bind are the key of an annotation that
// says how its IDs are mapped. The API's field BindOptions.IDMapping becomes one,
// so that inspect shows it and create takes it again.
const IDMapAnnotation = "berth.idmap:"

// IDMapping is the API's.
type IDMapping struct{ Source, User string }

// Text is the mapping as an annotation has it.
func (m IDMapping) Text() string {
	if m.User == "" {
		return m.Source
	}
	return m.Source + ":" + m.User
}

// idMaps notes the ID maps of the annotations in the binds.
func idMaps(plans []Plan, annotations map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		target, ok := strings.CutPrefix(key, IDMapAnnotation)
		if !ok {
			continue
		}
		text := annotations[key]
		source, user, hasUser := strings.Cut(cmp.Or(text, "match-user"), ":")
		if source != "match-user" && (source != "userns" || hasUser) || hasUser && user == "" || strings.ContainsAny(user, " \n\x00") {
			return invalid("invalid ID mapping %q of the bind at %s: use match-user, match-user:USER or userns", text, target)
		}
		i := slices.IndexFunc(plans, func(p Plan) bool { return p.Destination == path.Clean(target) })
		if i < 0 || plans[i].Type != mount.TypeBind {
			return invalid("invalid ID mapping of %s: no bind is mounted there", target)
		}
		plans[i].IDMap = cmp.Or(text, source)
	}
	return nil
}
