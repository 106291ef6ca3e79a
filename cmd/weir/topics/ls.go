package topics

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

func lsCommand() *cobra.Command {
	var (
		name   string
		asJSON bool
	)
	c := &cobra.Command{
		Use:                   "ls [--tenant name] [--json] [filter]",
		DisableFlagsInUseLine: true,
		Short:                 "List the stored topics",
		Long: `List the topics that have a stream, of one tenant or of all, those that match a topic filter or all.

  STREAM     dedicated, and the first digits of the stream's name with the generation; show has the whole name.
             Messages of a draining one are still delivered, and new ones go elsewhere
  OLDEST     age of the oldest message
  CONSUMERS  who receives the topic: bridges, for all their sessions together, and native services
  LAG        messages that the consumer furthest behind has not acknowledged, delivered or not
  RULE       filter of the tenant's rule that the topic falls under`,
		Example: `  weir topics ls
  weir topics ls --tenant acme 'sensors/#'`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s takes one filter; quote it for the shell", c.CommandPath())
			}
			if c.Flags().Changed("tenant") && !tenant.ValidName(name) {
				return fmt.Errorf("--tenant: %q is not a tenant's name", name)
			}
			if len(args) == 1 {
				if err := filter.Check(args[0]); err != nil {
					return fmt.Errorf("filter %q: %w", args[0], err)
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			want := func(string) bool { return true }
			if len(args) == 1 {
				want = func(topic string) bool { return filter.Match(args[0], topic) }
			}
			return inspect(c.Context(), func(i *jetstream.Inspector) error {
				found, err := i.Topics(c.Context(), name, want)
				if errors.Is(err, jetstream.ErrNoTenant) {
					return fmt.Errorf("there is no tenant %q", name)
				}
				rows := make([]row, 0, len(found))
				for _, t := range found {
					rows = append(rows, newRow(i, t))
				}
				// What could be seen is of use even where it is not all.
				if asJSON {
					return errors.Join(writeJSON(c.OutOrStdout(), rows), err)
				}
				return errors.Join(writeRows(c.OutOrStdout(), rows, time.Now()), err)
			})
		},
	}
	c.Flags().StringVar(&name, "tenant", "", "topics of this tenant only")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

// writeRows writes the table. The topic comes last: it is never cut, and however long it is the rest stays readable.
func writeRows(w io.Writer, rows []row, now time.Time) error {
	t := newTable("TENANT", "STREAM", "MESSAGES>", "BYTES>", "OLDEST>", "CONSUMERS>", "LAG>", "RULE", "TOPIC")
	for _, r := range rows {
		t.add(
			r.Tenant, r.streamText(), strconv.FormatUint(r.Messages, 10), bytesText(r.Bytes), ageText(r.Oldest, now),
			strconv.Itoa(r.Consumers), strconv.FormatUint(r.Lag, 10), orDash(printable(r.Rule)), printable(r.Topic),
		)
	}
	return t.write(w)
}
