package index

import "strings"

// Matches tells whether a topic filter matches a topic name, both of them valid. It allocates nothing.
func Matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false // [MQTT-4.7.2-1]
	}
	if filter == "#" {
		return true
	}
	path, below := strings.CutSuffix(filter, "/#") // what is left is the parent level, which matches too
	at := 0
	for i := range len(path) {
		switch {
		case path[i] == '+':
			for at < len(topic) && topic[at] != '/' {
				at++
			}
		case at < len(topic) && topic[at] == path[i]:
			at++
		default:
			return false
		}
	}
	return at == len(topic) || below && topic[at] == '/'
}
