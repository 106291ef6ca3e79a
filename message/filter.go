package message

import "strings"

// FilterSubjects returns the subjects that together match the subjects of exactly those topic names of a tenant that a valid topic filter
// matches; no two of them overlap. The filter does not start with '$'.
func FilterSubjects(tenant, filter string) []string {
	switch filter {
	case "#", "+/#": // a topic has at least one level
		return []string{prefix + tenant + ".>"}
	case "/#": // the level before the slash is not a topic by itself
		return []string{prefix + tenant + ".%.>"}
	}
	parent, below := strings.CutSuffix(filter, "/#")
	dst := append(make([]byte, 0, len(prefix)+len(tenant)+1+len(parent)+16), prefix...)
	dst = append(dst, tenant...)
	for level := range strings.SplitSeq(parent, "/") {
		dst = append(dst, '.')
		switch level {
		case "":
			dst = append(dst, '%')
		case "+":
			dst = append(dst, '*')
		default:
			dst = appendEscaped(dst, level, inSubject)
		}
	}
	subject := string(dst)
	if below {
		return []string{subject, subject + ".>"}
	}
	return []string{subject}
}
