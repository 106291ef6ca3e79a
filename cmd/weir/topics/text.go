package topics

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// printable quotes what would do something to a terminal, or not be seen: devices choose the names of topics.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return strconv.Quote(s)
		}
	}
	if s != strings.TrimSpace(s) {
		return strconv.Quote(s)
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// bytesText is a size to two or three digits.
func bytesText(n uint64) string {
	if n < 1<<10 {
		return strconv.FormatUint(n, 10) + " B"
	}
	size, unit := float64(n)/(1<<10), 0
	for size >= 1023.5 && unit < len(units)-1 {
		size, unit = size/(1<<10), unit+1
	}
	if size < 9.95 {
		return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + " " + units[unit]
	}
	return strconv.FormatFloat(size, 'f', 0, 64) + " " + units[unit]
}

var units = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// ageText is how long ago something was, to two units.
func ageText(then *time.Time, now time.Time) string {
	if then == nil {
		return "-"
	}
	const day = 24 * time.Hour
	age := max(now.Sub(*then), 0)
	switch {
	case age < time.Minute:
		return fmt.Sprintf("%ds", age/time.Second)
	case age < time.Hour:
		return fmt.Sprintf("%dm%ds", age/time.Minute, age%time.Minute/time.Second)
	case age < day:
		return fmt.Sprintf("%dh%dm", age/time.Hour, age%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", age/day, age%day/time.Hour)
}

// durationText is a TTL, as it could be in the tenants file.
func durationText(s int64) string {
	if s < 0 {
		return unlimited
	}
	text := (time.Duration(s) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

const unlimited = "unlimited"

func countText(n int64) string {
	if n < 0 {
		return unlimited
	}
	return strconv.FormatInt(n, 10)
}

// lagText is a number, or what it can be at most.
func lagText(n uint64, exact bool) string {
	if exact {
		return strconv.FormatUint(n, 10)
	}
	return "≤" + strconv.FormatUint(n, 10)
}

func sizeText(n int64) string {
	if n < 0 {
		return unlimited
	}
	return bytesText(uint64(n))
}
