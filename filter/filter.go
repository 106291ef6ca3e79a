// Package filter checks MQTT topic filters and compares them with topic names and with each other. The comparisons are exact,
// allocate nothing and take time linear in the length of their arguments. A topic name is what MQTT says: at least one character,
// any number of levels between slashes, which may be empty, case sensitive.
//
// Two things make a filter more than a plain pattern. "#" stands for any number of levels, none included, so that a/# matches a
// [MQTT-4.7.1-2]; alone it says the same as +/#, because a topic has at least one level. And a filter that starts with a wildcard
// matches no topic that starts with "$" [MQTT-4.7.2-1].
package filter

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Check says why f is not a topic filter, and returns nil where it is one. How long it may be, and what "$share/" at its start
// means, is left to the caller.
func Check(f string) error {
	switch {
	case f == "": // [MQTT-4.7.3-1]
		return errors.New("must not be empty")
	case strings.IndexByte(f, 0) >= 0: // [MQTT-4.7.3-2]
		return errors.New("must not contain the null character")
	case !utf8.ValidString(f): // [MQTT-4.7.3-3]
		return errors.New("must be UTF-8")
	}
	for rest, more := f, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case strings.IndexByte(level, '#') >= 0 && (level != "#" || more): // [MQTT-4.7.1-2]
			return errors.New("# must be the last level, alone")
		case strings.IndexByte(level, '+') >= 0 && level != "+": // [MQTT-4.7.1-3]
			return errors.New("+ must be alone in its level")
		}
	}
	return nil
}

// HasWildcards reports whether a valid filter is no plain topic name.
func HasWildcards(f string) bool { return strings.ContainsAny(f, "+#") }

// Match reports whether a valid filter matches a valid topic name.
func Match(filter, topic string) bool {
	// A topic name is a filter that matches itself and nothing else.
	return Covers(filter, topic)
}

// Covers reports whether every topic that b matches is matched by a. Both must be valid filters.
func Covers(a, b string) bool {
	a, b = spelled(a), spelled(b)
	if wild(a) && reserved(b) {
		return false
	}
	for {
		levelA, restA, moreA := strings.Cut(a, "/")
		if levelA == "#" {
			return true
		}
		levelB, restB, moreB := strings.Cut(b, "/")
		// A "#" in b matches where a still wants a level, and a "+" more than a literal does.
		if levelB == "#" || levelA != "+" && levelA != levelB {
			return false
		}
		switch {
		case !moreA:
			return !moreB
		case !moreB:
			return restA == "#"
		}
		a, b = restA, restB
	}
}

// Intersects reports whether there is a topic that both match. Both must be valid filters.
func Intersects(a, b string) bool {
	a, b = spelled(a), spelled(b)
	if wild(a) && reserved(b) || wild(b) && reserved(a) {
		return false
	}
	for {
		levelA, restA, moreA := strings.Cut(a, "/")
		levelB, restB, moreB := strings.Cut(b, "/")
		switch {
		case levelA == "#" || levelB == "#":
			return true
		case levelA != levelB && levelA != "+" && levelB != "+":
			return false
		case !moreA:
			return !moreB || restB == "#"
		case !moreB:
			return restA == "#"
		}
		a, b = restA, restB
	}
}

// spelled writes the two filters whose "#" needs a level, as there is no topic without levels and none that is empty, in the way
// that makes every "#" stand for zero or more.
func spelled(f string) string {
	switch f {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return f
}

func wild(f string) bool     { return strings.HasPrefix(f, "+") }
func reserved(f string) bool { return strings.HasPrefix(f, "$") }
