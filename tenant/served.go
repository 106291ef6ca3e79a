package tenant

// checkServed refuses what this release reads and checks but does not serve yet. It is a variable for the tests, which hold all
// the rest to what will be served.
var checkServed = func(i int, r Rule) *ruleError {
	switch {
	case r.Stream != StreamDedicated:
		return &ruleError{i, "stream", string(r.Stream) + " is not served yet: this release serves dedicated streams only"}
	case r.HoldWhenFull == HoldDiscardOldest:
		return &ruleError{i, "hold_when_full", "discard_oldest is not served yet: this release lets every subscription hold its messages (block)"}
	}
	return nil
}
