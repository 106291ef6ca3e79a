package topics

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/tool"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

func showCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:                   "show [--json] <tenant> <topic>",
		DisableFlagsInUseLine: true,
		Short:                 "Show a topic, its limits, and who holds its backlog",
		Long: `Show what is stored of a topic, which limits are in force, and who receives it, furthest behind first.

Who holds the backlog has many messages pending (not delivered yet) or unacknowledged. HOLDS OLDEST says that the
oldest message of the topic is kept for this consumer. Each consumer is one of these:

  bridge, shared     a bridge's, for all of its sessions that keep up
  bridge, own        a bridge's, for one session that has fallen behind the others
  subscriber NAME    a named subscriber's, which holds its messages until it is removed
  native, durable    a native service's, which holds its messages as long as the consumer exists
  native, ephemeral  a native service's, which goes with it

The stream of a shared rule has many topics, and so have its consumers. LAG is what a consumer has not acknowledged of this
topic, PENDING and UNACKNOWLEDGED are of all topics that it is for. Where JetStream does not tell which of them are this
topic's, ≤ is before what the lag can be at most, and HOLDS OLDEST is "perhaps".

A limit that differs from what the tenant's rule says has not been brought into force yet.`,
		Example: `  weir topics show acme sensors/room1`,
		Args:    oneTopic,
		RunE: func(c *cobra.Command, args []string) error {
			return tool.Inspect(c.Context(), func(i *jetstream.Inspector) error {
				t, err := find(c.Context(), i, args[0], args[1])
				if t.Stream == "" {
					return err
				}
				d := newDetails(i, t)
				if asJSON {
					return errors.Join(tool.WriteJSON(c.OutOrStdout(), d), err)
				}
				return errors.Join(d.write(c.OutOrStdout(), time.Now()), err)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return c
}

func (d details) write(w io.Writer, now time.Time) error {
	stream := string(d.StreamKind) + " " + printable(d.Stream)
	if d.Draining {
		stream += ", draining"
	}
	facts := newTable("", "")
	facts.add("Tenant", d.Tenant)
	facts.add("Topic", printable(d.Topic))
	facts.add("Rule", orDash(printable(d.Rule)))
	facts.add("Stream", stream)
	facts.add("Created", fmt.Sprintf("%s, replicas: %d", d.Created.Format(time.RFC3339), d.Replicas))
	facts.add("Messages", strconv.FormatUint(d.Messages, 10))
	if d.Bytes != nil {
		facts.add("Bytes", bytesText(*d.Bytes))
	}
	facts.add("Oldest", ageText(d.Oldest, now))
	facts.add("Consumers", strconv.Itoa(d.Consumers))
	facts.add("Lag", lagText(d.Lag, d.LagExact))
	if s := d.Shared; s != nil {
		facts.add("In the stream", fmt.Sprintf("%s, %s, of %s", messages(s.Messages), bytesText(s.Bytes), plural(s.Topics, "topic")))
	}
	err := facts.write(w)
	for _, part := range []*table{d.policyTable(), d.consumerTable(now)} {
		if err == nil && part != nil {
			_, err = fmt.Fprintln(w)
		}
		if err == nil && part != nil {
			err = part.write(w)
		}
	}
	return err
}

// policyTable is what is in force, and what the rule says where that is something else. What bounds a subscription is the bridges'
// to enforce, so JetStream does not know it.
func (d details) policyTable() *table {
	t := newTable("POLICY", "IN FORCE")
	add := func(key, have, said string) {
		if d.Policy != nil && have != said {
			have += "; the rule says " + said
		}
		t.add(key, have)
	}
	var p policy
	if d.Policy != nil {
		p = *d.Policy
	}
	add("stream", string(d.StreamKind), string(p.Stream))
	if d.Policy != nil && p.WhenFull == "" { // transient: the rule says nothing more
		p.limits = d.Limits
	}
	add("when_full", string(d.Limits.WhenFull), string(p.WhenFull))
	add("keep", string(d.Limits.Keep), string(p.Keep))
	add("backlog_bytes", sizeText(d.Limits.BacklogBytes), sizeText(p.BacklogBytes))
	add("backlog_messages", countText(d.Limits.BacklogMessages), countText(p.BacklogMessages))
	add("ttl", durationText(d.Limits.TTLSeconds), durationText(p.TTLSeconds))
	if p.HoldWhenFull == "" {
		return t
	}
	if d.Shared != nil && p.Stream == tenant.StreamShared {
		t.add("topics", countText(p.Topics))
	}
	t.add("hold_when_full", string(p.HoldWhenFull))
	if p.HoldWhenFull == tenant.HoldDiscardOldest {
		t.add("hold_messages", countText(p.HoldMessages))
		t.add("hold_bytes", sizeText(p.HoldBytes))
	}
	return t
}

func (d details) consumerTable(now time.Time) *table {
	if len(d.Details) == 0 {
		return nil
	}
	headers := []string{"WHO", "LAG>", "PENDING>", "UNACKNOWLEDGED>", "LAST ACTIVE>", "HOLDS OLDEST", "CONSUMER"}
	if d.Shared == nil {
		headers = slices.Delete(headers, 1, 2) // it is the sum of the other two
	}
	t := newTable(headers...)
	for _, c := range d.Details {
		cells := []string{
			whose(c), lagText(c.Lag, c.LagExact), strconv.FormatUint(c.Pending, 10), strconv.FormatUint(c.Unacknowledged, 10),
			ageText(c.LastActive, now), holdsText(c.HoldsOldest), printable(c.Name),
		}
		if d.Shared == nil {
			cells = slices.Delete(cells, 1, 2)
		}
		t.add(cells...)
	}
	return t
}

func holdsText(holds *bool) string {
	switch {
	case holds == nil:
		return "perhaps"
	case *holds:
		return "yes"
	}
	return "no"
}

// whose says in words whose a consumer is.
func whose(c consumer) string {
	if c.Kind == jetstream.OfSubscriber {
		return "subscriber " + printable(c.Subscriber)
	}
	return who[c.Kind]
}

var who = map[jetstream.ConsumerKind]string{
	jetstream.BridgeShared:    "bridge, shared",
	jetstream.BridgeOwn:       "bridge, own",
	jetstream.NativeDurable:   "native, durable",
	jetstream.NativeEphemeral: "native, ephemeral",
}
