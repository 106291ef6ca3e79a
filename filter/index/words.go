package index

import "strings"

// level is the number of a level of a filter or a topic.
type level uint32

const (
	plus    level = 0         // "+"
	unknown level = 1<<32 - 1 // a level of no filter
)

// words numbers the levels of the filters other than wildcards. The zero value is empty.
type words struct {
	known map[string]word
	most  int     // words since known was made
	last  level   // the highest number given out
	free  []level // numbers up to last that are not in use
}

type word struct {
	number  level
	holders uint32 // levels of filters
}

// numbers appends the levels of a filter or a topic to dst. below tells that it ends in "#", which is not among them.
func (w *words) numbers(dst []level, filter string) (path []level, below bool) {
	for more := true; more; {
		var text string
		switch text, filter, more = strings.Cut(filter, "/"); text {
		case "+":
			dst = append(dst, plus)
		case "#":
			return dst, true
		default:
			number := unknown
			if word, ok := w.known[text]; ok {
				number = word.number
			}
			dst = append(dst, number)
		}
	}
	return dst, false
}

// hold adds a filter to the holders of its levels, or takes it away with -1.
func (w *words) hold(filter string, change int) {
	for more := true; more; {
		var text string
		switch text, filter, more = strings.Cut(filter, "/"); text {
		case "+", "#":
		default:
			w.change(text, change)
		}
	}
}

func (w *words) change(text string, change int) {
	one, ok := w.known[text]
	if !ok {
		one.number = w.number()
		text = strings.Clone(text) // and not the whole filter
	}
	one.holders += uint32(change)
	if one.holders > 0 {
		if w.known == nil {
			w.known = map[string]word{}
		}
		w.known[text] = one
		w.most = max(w.most, len(w.known))
		return
	}
	delete(w.known, text)
	w.free = append(w.free, one.number)
	w.shrink()
}

// number is one that no word has.
func (w *words) number() level {
	if n := len(w.free); n > 0 {
		number := w.free[n-1]
		w.free = w.free[:n-1]
		return number
	}
	w.last++
	return w.last
}

// shrink gives memory back when three quarters are unused: maps do not shrink. Of the numbers that is done when all of
// them are free.
func (w *words) shrink() {
	if len(w.known) == 0 {
		*w = words{}
		return
	}
	if w.most <= 2*few || len(w.known) > w.most/4 {
		return
	}
	known := make(map[string]word, len(w.known))
	for text, one := range w.known {
		known[text] = one
	}
	w.known, w.most = known, len(known)
}
