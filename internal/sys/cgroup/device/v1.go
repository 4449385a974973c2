package device

// Line is a value for one of the two files of v1.
type Line struct{ File, Value string }

// V1 starts from nothing, unless everything is allowed.
func V1(rules []Rule) []Line {
	if AllowsAll(rules) {
		return []Line{{"devices.allow", "a"}}
	}
	list := []Line{{"devices.deny", "a"}}
	for _, r := range rules {
		if r.everything() && !r.allow {
			list = list[:1] // nothing before it counts
			continue
		}
		file := "devices.deny"
		if r.allow {
			file = "devices.allow"
		}
		list = append(list, Line{file, r.String()})
	}
	return list
}
