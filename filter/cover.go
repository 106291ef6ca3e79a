package filter

import "strings"

// Cover returns filters no two of which match the same topic, and which together match at least what the given valid ones do: what one of
// these covers is left out, and filters that overlap are replaced by one that covers both. It takes time quadratic in their number.
func Cover(filters []string) []string {
	var cover []string
	for _, f := range filters {
		for i := 0; i < len(cover); {
			switch c := cover[i]; {
			case Covers(c, f):
				f = c
			case Covers(f, c):
			case Intersects(f, c):
				f = Join(f, c)
			default:
				i++
				continue
			}
			cover = append(cover[:i], cover[i+1:]...)
			i = 0 // the wider one may meet those that were left behind
		}
		cover = append(cover, f)
	}
	return cover
}

// Join returns a filter that covers two valid ones: level by level what they have in common, from where they differ in length, anything.
func Join(a, b string) string {
	var joined []string
	for {
		levelA, restA, moreA := strings.Cut(a, "/")
		levelB, restB, moreB := strings.Cut(b, "/")
		switch {
		case levelA == "#" || levelB == "#":
			return strings.Join(append(joined, "#"), "/")
		case levelA == levelB:
			joined = append(joined, levelA)
		default:
			joined = append(joined, "+")
		}
		switch {
		case !moreA && !moreB:
			return strings.Join(joined, "/")
		case !moreA || !moreB:
			return strings.Join(append(joined, "#"), "/")
		}
		a, b = restA, restB
	}
}
