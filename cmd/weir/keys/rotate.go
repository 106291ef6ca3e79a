package keys

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/tool"
	"github.com/weirmq/weir/jetstream"
)

// rotated is what --json prints.
type rotated struct {
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	SignsFrom time.Time `json:"signs_from"`
	Older     int       `json:"older"` // keys with which tokens are still verified
}

func rotateCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:                   "rotate [--json]",
		DisableFlagsInUseLine: true,
		Short:                 "Make a new key at once",
		Long: `Make a new key at once. Every Weir signs with it a few seconds later, when all can be expected to know it. Tokens that were signed
with the others stay valid until they expire.`,
		Example: `  weir keys rotate`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return tool.Inspect(c.Context(), func(i *jetstream.Inspector) error {
				key, err := i.RotateKey(c.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return tool.WriteJSON(c.OutOrStdout(), rotated{
						ID: key.ID, Created: key.Created, SignsFrom: key.SignsFrom, Older: key.Older,
					})
				}
				return write(c.OutOrStdout(), key)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return c
}

func write(w io.Writer, key jetstream.SigningKey) error {
	older := "1 older key"
	if key.Older != 1 {
		older = fmt.Sprintf("%d older keys", key.Older)
	}
	_, err := fmt.Fprintf(w, "key %s made; it signs from %s on. Tokens of %s stay valid until they expire\n",
		key.ID, key.SignsFrom.UTC().Format(time.RFC3339), older)
	return err
}
