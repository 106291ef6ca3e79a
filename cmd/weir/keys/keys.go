// Package keys is the operator's hand on the keys that sign tokens: the subcommand weir keys rotate.
package keys

import (
	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/tool"
)

// Command is weir keys with its subcommands.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:                   "keys",
		DisableFlagsInUseLine: true,
		Short:                 "Change the keys that sign the tokens of microservices",
		Long: `Change the keys that sign the tokens of microservices. All Weirs of a NATS system have the same; they make a new one every 30 days,
and keep the others for as long as tokens can live.

The keys are reached as topics are: at WEIR_NATS_URL (and WEIR_NATS_CREDS), or else through the Weir that runs on WEIR_DATA_DIR and serves
native NATS clients on WEIR_NATS_ADDR.`,
		Args: tool.NoOtherSubcommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(rotateCommand())
	return c
}
