package tenant

import (
	"fmt"

	"github.com/weirmq/weir/filter"
)

// MaxRules bounds the rules of a tenant.
const MaxRules = 64

// ruleError is what is wrong with one rule.
type ruleError struct {
	index  int
	key    string // empty: the rule as a whole
	reason string
}

func (e *ruleError) Error() string { return e.path() + ": " + e.reason }

func (e *ruleError) path() string {
	if e.key == "" {
		return rulePath(e.index)
	}
	return rulePath(e.index) + "." + e.key
}

func rulePath(i int) string { return fmt.Sprintf("topics[%d]", i) }

// ruleChecker finds the first thing that is wrong with the rules of a tenant that is valid otherwise.
type ruleChecker struct {
	tenant Tenant
	at     func(i int) string // where a rule is, for errors about another one
}

func (c ruleChecker) check() *ruleError {
	for i, r := range c.tenant.Rules {
		if i == MaxRules {
			return &ruleError{i, "", fmt.Sprintf("a tenant has at most %d rules", MaxRules)}
		}
		if err := c.checkValues(i, r); err != nil {
			return err
		}
	}
	policies := c.tenant.Rules.Resolve(c.tenant.Quotas)
	for i, r := range c.tenant.Rules {
		if err := checkStream(i, r); err != nil {
			return err
		}
		if err := checkPolicy(i, r, policies[i]); err != nil {
			return err
		}
		if err := c.checkEarlier(i, r); err != nil {
			return err
		}
	}
	return c.checkStorage(policies)
}

// checkValues looks at each setting for itself.
func (c ruleChecker) checkValues(i int, r Rule) *ruleError {
	for _, k := range ruleWords {
		v := *k.field(&r)
		if v == "" && k.name != "filter" && k.name != "stream" {
			continue
		}
		if err := k.check(v); err != nil {
			return &ruleError{i, k.name, err.Error()}
		}
	}
	for _, k := range ruleNumbers {
		if err := k.check(*k.field(&r)); err != nil {
			return &ruleError{i, k.name, err.Error()}
		}
	}
	if n := subjectBytes(c.tenant.Name, r.Filter); n > MaxSubjectBytes {
		return &ruleError{i, "filter", fmt.Sprintf("%d bytes as a NATS subject are over the maximum %d", n, MaxSubjectBytes)}
	}
	return nil
}

// checkStream refuses settings that the kind of stream does not have.
func checkStream(i int, r Rule) *ruleError {
	given := r.given()
	switch {
	case r.Stream == StreamTransient && len(given) > 0:
		return &ruleError{i, given[0], "means nothing for transient topics, of which no message is stored"}
	case r.Stream == StreamDedicated && r.Name != "":
		return &ruleError{i, "name", "only a shared rule has a name: each dedicated topic has a stream of its own"}
	case r.Stream == StreamDedicated && r.Topics != 0:
		return &ruleError{i, "topics", "only a shared rule has a limit of topics: dedicated ones count against the tenant's quota topics"}
	case r.Stream == StreamShared && r.Name == "":
		return &ruleError{i, "name", "missing: a shared rule names its stream"}
	}
	return nil
}

// checkPolicy refuses settings that contradict each other once the defaults are applied: what could only stand still, grow for
// ever or have no effect. It lets through what is merely extreme, such as a backlog without limit that consumption alone keeps small.
func checkPolicy(i int, r Rule, p Policy) *ruleError {
	if p.Stream == StreamTransient {
		return nil
	}
	limited := p.BacklogBytes != Unlimited || p.BacklogMessages != Unlimited
	switch {
	case p.Stream == StreamShared && p.BacklogBytes == Unlimited:
		return &ruleError{i, "backlog_bytes", "must not be unlimited, neither here nor by the quota: a shared stream reserves its bytes"}
	case p.WhenFull == WhenFullDiscardOldest && !limited:
		return &ruleError{i, "when_full", "discard_oldest discards nothing while backlog_bytes and backlog_messages are unlimited"}
	case p.Keep == KeepUntilExpired && p.TTL == 0 && p.WhenFull == WhenFullReject:
		return &ruleError{i, "keep", "until_expired needs a ttl that ends, or when_full: discard_oldest: otherwise no message ever makes room for another"}
	case p.HoldWhenFull == HoldBlock && r.HoldMessages != 0:
		return &ruleError{i, "hold_messages", "has no effect without hold_when_full: discard_oldest"}
	case p.HoldWhenFull == HoldBlock && r.HoldBytes != 0:
		return &ruleError{i, "hold_bytes", "has no effect without hold_when_full: discard_oldest"}
	case p.HoldWhenFull == HoldDiscardOldest && p.HoldMessages == Unlimited && p.HoldBytes == Unlimited:
		return &ruleError{i, "hold_when_full", "discard_oldest discards nothing while hold_messages and hold_bytes are unlimited"}
	}
	return nil
}

// checkEarlier compares a rule with those before it. Topics that an earlier rule takes away cannot be left out of a shared stream's
// subjects; dedicated and transient topics have no such subjects and may follow anything.
func (c ruleChecker) checkEarlier(i int, r Rule) *ruleError {
	for j, other := range c.tenant.Rules[:i] {
		switch {
		case filter.Covers(other.Filter, r.Filter):
			return &ruleError{i, "filter", fmt.Sprintf("%s never matches, because the rule %s before it (%s) takes all its topics",
				quote(r.Filter), quote(other.Filter), c.at(j))}
		case r.Stream == StreamShared && filter.Intersects(other.Filter, r.Filter):
			return &ruleError{i, "filter", fmt.Sprintf("%s overlaps the rule %s before it (%s): a shared stream cannot leave topics out",
				quote(r.Filter), quote(other.Filter), c.at(j))}
		case r.Stream == StreamShared && other.Name == r.Name:
			return &ruleError{i, "name", fmt.Sprintf("%s is the name of the rule %s too (%s); it is %s that needs another",
				r.Name, quote(other.Filter), c.at(j), quote(r.Filter))}
		}
	}
	return nil
}

// checkStorage refuses shared rules whose streams the tenant's storage could never hold.
func (c ruleChecker) checkStorage(policies Policies) *ruleError {
	storage := c.tenant.Quotas.Resolve().StorageBytes
	left := storage
	for i, p := range policies {
		if p.Stream != StreamShared || storage == Unlimited {
			continue
		}
		if p.BacklogBytes > left {
			return &ruleError{i, "backlog_bytes", fmt.Sprintf("%d bytes are reserved for the rule; the quota storage_bytes %d has %d left for it",
				p.BacklogBytes, storage, left)}
		}
		left -= p.BacklogBytes
	}
	return nil
}
