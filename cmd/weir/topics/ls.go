package topics

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/tool"
	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

func lsCommand() *cobra.Command {
	var (
		query  jetstream.Query
		asJSON bool
	)
	c := &cobra.Command{
		Use:                   "ls [--tenant name] [--limit n] [--json] [filter]",
		DisableFlagsInUseLine: true,
		Short:                 "List the stored topics",
		Long: `List what is stored, of one tenant or of all, of the topics that match a topic filter or of all: the dedicated topics, and of each
shared rule those that have messages; where they are more than --limit, the ones with most. Of transient topics nothing
is stored.

  STREAM     dedicated, and the first digits of the stream's name with the generation; show has the whole name.
             shared, and the name of the rule.
             Messages of a draining one are still delivered, and new ones go elsewhere
  BYTES      not of a topic of a shared rule: JetStream counts bytes per stream; show has those of the rule
  OLDEST     age of the oldest message
  CONSUMERS  who receives the topic: bridges, for all their sessions together, and native services
  LAG        messages that the consumer furthest behind has not acknowledged, delivered or not. ≤ is before what it can be
             at most, where JetStream does not tell which topic's they are
  RULE       filter of the tenant's rule that the topic falls under`,
		Example: `  weir topics ls
  weir topics ls --tenant acme 'sensors/#'
  weir topics ls --limit 0 --json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s takes one filter; quote it for the shell", c.CommandPath())
			}
			if c.Flags().Changed("tenant") && !tenant.ValidName(query.Tenant) {
				return fmt.Errorf("--tenant: %q is not a tenant's name", query.Tenant)
			}
			if query.Limit < 0 {
				return fmt.Errorf("--limit: %d is less than 0", query.Limit)
			}
			if len(args) == 1 {
				if err := filter.Check(args[0]); err != nil {
					return fmt.Errorf("filter %q: %w", args[0], err)
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				query.Filter = args[0]
			}
			return tool.Inspect(c.Context(), func(i *jetstream.Inspector) error {
				found, omitted, err := i.Topics(c.Context(), query)
				if errors.Is(err, jetstream.ErrNoTenant) {
					return fmt.Errorf("there is no tenant %q", query.Tenant)
				}
				rows := make([]row, 0, len(found))
				for _, t := range found {
					rows = append(rows, newRow(i, t))
				}
				// What could be seen is of use even where it is not all.
				if asJSON {
					err = errors.Join(tool.WriteJSON(c.OutOrStdout(), rows), err)
				} else {
					err = errors.Join(writeRows(c.OutOrStdout(), rows, time.Now()), err)
				}
				if omitted > 0 {
					_, wrote := fmt.Fprintf(c.ErrOrStderr(), "%d more topics of shared rules, with fewer messages, are not shown: use a filter, or --limit\n", omitted)
					err = errors.Join(err, wrote)
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&query.Tenant, "tenant", "", "topics of this tenant only")
	c.Flags().IntVar(&query.Limit, "limit", 1000, "topics of each shared rule at most; 0: all, beyond the first 1,000 without OLDEST")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

// writeRows writes the table. The topic comes last: it is never cut, and however long it is the rest stays readable.
func writeRows(w io.Writer, rows []row, now time.Time) error {
	t := newTable("TENANT", "STREAM", "MESSAGES>", "BYTES>", "OLDEST>", "CONSUMERS>", "LAG>", "RULE", "TOPIC")
	for _, r := range rows {
		size := "-"
		if r.Bytes != nil {
			size = bytesText(*r.Bytes)
		}
		t.add(
			r.Tenant, r.streamText(), strconv.FormatUint(r.Messages, 10), size, ageText(r.Oldest, now),
			strconv.Itoa(r.Consumers), lagText(r.Lag, r.LagExact), orDash(printable(r.Rule)), printable(r.Topic),
		)
	}
	return t.write(w)
}
