package tenant

// checkServed refuses what this release reads and checks but does not serve yet. It is a variable for the tests, which hold all
// the rest to what will be served.
var checkServed = func(i int, r Rule) *ruleError {
	if r.HoldWhenFull == HoldDiscardOldest {
		return &ruleError{i, "hold_when_full", "discard_oldest is not served yet: this release lets every subscription hold its messages (block)"}
	}
	return nil
}
