package topics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirmq/weir/cmd/weir/tool"
	"github.com/weirmq/weir/jetstream"
)

func purgeCommand() *cobra.Command {
	var yes, asJSON bool
	c := &cobra.Command{
		Use:                   "purge [--yes] [--json] <tenant> <topic>",
		DisableFlagsInUseLine: true,
		Short:                 "Delete the stored messages of a topic",
		Long: `Delete the stored messages of a topic, whoever still waits for them. The topic, its limits and its subscribers stay, and so do
the messages of the other topics of a shared rule.
It asks before, on a terminal; elsewhere it needs --yes.`,
		Example: `  weir topics purge acme sensors/room1
  weir topics purge --yes acme sensors/room1`,
		Args: oneTopic,
		RunE: func(c *cobra.Command, args []string) error {
			tenant, topic := args[0], args[1]
			if !yes && !terminal(c.InOrStdin()) {
				return errors.New("nothing was deleted: there is no terminal to ask on, and no --yes")
			}
			return tool.Inspect(c.Context(), func(i *jetstream.Inspector) error {
				t, err := find(c.Context(), i, tenant, topic)
				if t.Stream == "" {
					return err // else the stream is there, and it is only the consumers that are not all known
				}
				if !yes {
					what := messages(t.Messages)
					if t.Shared == nil {
						what += " (" + bytesText(t.Bytes) + ")"
					}
					question := fmt.Sprintf("Delete %s of topic %s of tenant %s? [y/N] ", what, printable(topic), tenant)
					if err := confirm(c.InOrStdin(), c.ErrOrStderr(), question); err != nil {
						return err
					}
				}
				n, err := i.Purge(c.Context(), t)
				if err != nil {
					return explain(i, tenant, topic, err)
				}
				if asJSON {
					return tool.WriteJSON(c.OutOrStdout(), purged{Tenant: tenant, Topic: topic, Stream: t.Stream, Purged: n})
				}
				_, err = fmt.Fprintln(c.OutOrStdout(), messages(n), "deleted")
				return err
			})
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return c
}

func messages(n uint64) string { return plural(n, "message") }

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// confirm asks a question and takes nothing but a yes for one. The question is not part of the output.
func confirm(in io.Reader, out io.Writer, question string) error {
	if _, err := io.WriteString(out, question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was deleted")
}

// terminal reports whether somebody can be asked: a character device, but not the one on which nobody is.
func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(info, null)
}
