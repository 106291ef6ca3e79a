package topics

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

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
oldest message is kept for this consumer. Each consumer is one of these:

  bridge, shared     a bridge's, for all of its sessions that keep up
  bridge, own        a bridge's, for one session that has fallen behind the others
  native, durable    a native service's, which holds its messages as long as the consumer exists
  native, ephemeral  a native service's, which goes with it

A limit that differs from what the tenant's rule says has not been brought into force yet.`,
		Example: `  weir topics show acme sensors/room1`,
		Args:    oneTopic,
		RunE: func(c *cobra.Command, args []string) error {
			return inspect(c.Context(), func(i *jetstream.Inspector) error {
				t, err := find(c.Context(), i, args[0], args[1])
				if t.Stream == "" {
					return err
				}
				d := newDetails(i, t)
				if asJSON {
					return errors.Join(writeJSON(c.OutOrStdout(), d), err)
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
	facts.add("Bytes", bytesText(d.Bytes))
	facts.add("Oldest", ageText(d.Oldest, now))
	facts.add("Consumers", strconv.Itoa(d.Consumers))
	facts.add("Lag", strconv.FormatUint(d.Lag, 10))
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
	t := newTable("WHO", "PENDING>", "UNACKNOWLEDGED>", "LAST ACTIVE>", "HOLDS OLDEST", "CONSUMER")
	for _, c := range d.Details {
		holds := "no"
		if c.HoldsOldest {
			holds = "yes"
		}
		t.add(
			who[c.Kind], strconv.FormatUint(c.Pending, 10), strconv.FormatUint(c.Unacknowledged, 10), ageText(c.LastActive, now),
			holds, printable(c.Name),
		)
	}
	return t
}

var who = map[jetstream.ConsumerKind]string{
	jetstream.BridgeShared:    "bridge, shared",
	jetstream.BridgeOwn:       "bridge, own",
	jetstream.NativeDurable:   "native, durable",
	jetstream.NativeEphemeral: "native, ephemeral",
}
