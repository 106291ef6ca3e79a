// Package topics is the operator's look at what is stored: the subcommands weir topics ls, show and purge.
package topics

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/tool"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

// Command is weir topics with its subcommands.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:                   "topics",
		DisableFlagsInUseLine: true,
		Short:                 "Show what is stored of the topics, and who holds it",
		Long: `Show what is stored of the topics of all tenants, whoever holds it, and delete it.

What is stored is asked of JetStream itself: at WEIR_NATS_URL (and WEIR_NATS_CREDS), or else of the Weir that runs on
WEIR_DATA_DIR and serves native NATS clients on WEIR_NATS_ADDR. Its data directory holds the credential, so it takes
the user that Weir runs as.`,
		Args: tool.NoOtherSubcommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(lsCommand(), showCommand(), purgeCommand())
	return c
}

// oneTopic refuses anything but a tenant and a topic.
func oneTopic(c *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s needs a tenant and a topic, and nothing else; --help says more", c.CommandPath())
	}
	return nil
}

// find returns one topic.
func find(ctx context.Context, i *jetstream.Inspector, name, topic string) (jetstream.StoredTopic, error) {
	t, err := i.Topic(ctx, name, topic)
	return t, explain(i, name, topic, err)
}

// explain says what is missing where JetStream has nothing of a topic.
func explain(i *jetstream.Inspector, name, topic string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrNoTenant):
		return fmt.Errorf("there is no tenant %q", name)
	case !errors.Is(err, jetstream.ErrNoTopic):
		return err
	}
	switch p, _ := i.Policy(name, topic); p.Stream {
	case tenant.StreamTransient:
		return fmt.Errorf("nothing is stored of topic %q of tenant %s: the rule %q makes it transient", topic, name, p.Filter)
	case tenant.StreamShared:
		return fmt.Errorf("tenant %s has no stream of topic %q: that of the shared rule %q is not there", name, topic, p.Filter)
	case tenant.StreamDedicated:
	}
	return fmt.Errorf("tenant %s has no stored topic %q", name, topic)
}
