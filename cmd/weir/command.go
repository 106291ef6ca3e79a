package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/app"
	"github.com/weirmq/weir/cmd/weir/keys"
	"github.com/weirmq/weir/cmd/weir/tool"
	"github.com/weirmq/weir/cmd/weir/topics"
)

// command is the tree of subcommands. called is set when one of them begins: an error before that is one of the command line.
func command(called *bool) *cobra.Command {
	root := &cobra.Command{
		Use:                   "weir",
		DisableFlagsInUseLine: true,
		Short:                 "An MQTT front end for NATS JetStream",
		Long: `weir is an MQTT front end for NATS JetStream. Without a subcommand it runs, until SIGINT or SIGTERM.

It is configured by its environment, which the subcommands read, too: where they need what is stored they reach it
through WEIR_NATS_URL, or else through a Weir that runs on WEIR_DATA_DIR and WEIR_NATS_ADDR.

Exit codes: 0 after a clean stop, 2 for a bad configuration or command line, 1 otherwise.`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { *called = true },
		Args:              tool.NoOtherSubcommand,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	root.SetVersionTemplate("weir {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists what there is", err, c.CommandPath())
	})
	plain := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		plain(c, args)
		if c == root {
			fmt.Fprint(c.OutOrStdout(), "\nEnvironment, with defaults:\n\n")
			_ = app.WriteVariables(c.OutOrStdout()) // there is nowhere else to say that nobody reads it
		}
	})
	root.SetHelpCommand(helpCommand())
	root.AddCommand(topics.Command(), keys.Command(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "weir", version())
			return err
		},
	})
	return root
}

// helpCommand is cobra's own, except that it fails for a subcommand that does not exist.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [subcommand]",
		Short: "Print help, as --help does",
		Args: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return tool.NoOtherSubcommand(found, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			found, _, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			return found.Help()
		},
	}
}
