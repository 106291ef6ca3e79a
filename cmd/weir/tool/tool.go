package tool

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// NoOtherSubcommand refuses arguments of a command that takes none but its subcommands.
func NoOtherSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unknown subcommand %q; %s --help lists what there is", args[0], c.CommandPath())
}

// WriteJSON writes what --json prints.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
