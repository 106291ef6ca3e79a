package fanout

// topics is what a subscription has at a place of many topics besides; guarded by feed.mu.
type topics struct {
	queue queue
}
