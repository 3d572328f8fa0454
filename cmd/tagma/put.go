package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) putCmd() *cobra.Command {
	var flags putFlags
	cmd := &cobra.Command{
		Use:   "put KEY [VALUE | -]",
		Short: "Set a key",
		Long:  "Put sets a key. Without VALUE, or with -, the value is read from standard input, every byte of it.",
		Example: `  tagma put greeting hello
  tagma put config - < config.json
  tagma put --prev-kv greeting hi
  tagma put -- -key -value`,
		Args: args(1, 2, "a key and a value"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usage("give a key", "the key is empty")
			}
			op := kv.Put{Key: []byte(args[0]), PrevKV: flags.prevKV}
			if len(args) == 2 && args[1] != "-" {
				op.Value = []byte(args[1])
			} else {
				value, err := io.ReadAll(io.LimitReader(a.in, kv.MaxOp+1))
				if err != nil {
					return fmt.Errorf("reading the value from standard input: %w", err)
				}
				op.Value = value
			}
			return a.execute(cmd, op, nil)
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	flags.bind(cmd.Flags())
	return cmd
}

// execute has one operation executed and prints the reply; adjust may change
// how.
func (a *app) execute(cmd *cobra.Command, op kv.Op, adjust func(*printer)) error {
	return a.with(func(c *client.Client) error {
		result, err := c.Execute(cmd.Context(), op)
		if err != nil {
			return err
		}
		p := a.printer(c.Config().Cluster)
		if adjust != nil {
			adjust(p)
		}
		return p.answer(result.Reply, result.Revision)
	})
}
