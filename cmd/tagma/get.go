package main

import (
	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) getCmd() *cobra.Command {
	var flags getFlags
	cmd := &cobra.Command{
		Use:   "get KEY [END]",
		Short: "Read a key or a range of keys",
		Long: `Get reads a key, the keys from KEY to before END, or those with a prefix. It
prints a line for each key and a line for its value; of a key that does not
exist it prints nothing. An answer that would be
larger than 2 MiB is read in parts, all at one revision.`,
		Example: `  tagma get greeting
  tagma get --prefix users/ --limit 10 --keys-only
  tagma get a m --order DESCEND --sort-by MODIFY
  tagma get --rev 42 greeting -w json`,
		Args: args(1, 2, "a key, and the end of a range if one is meant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := flags.op(args)
			if err != nil {
				return err
			}
			if flags.valueOnly && a.format != "simple" {
				return usage("leave one of them out", "--print-value-only goes with -w simple")
			}
			return a.with(func(c *client.Client) error {
				reply, revision, err := readAll(cmd, c, op)
				if err != nil {
					return err
				}
				p := a.printer(c.Config().Cluster)
				p.valueOnly, p.countOnly = flags.valueOnly, flags.countOnly
				return p.answer(reply, revision)
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	flags.bind(cmd.Flags())
	return cmd
}

// readAll reads a range in as many parts as its size takes, all at the
// revision of the first.
func readAll(cmd *cobra.Command, c *client.Client, op kv.Range) (kv.RangeReply, int64, error) {
	reply, revision, err := c.Range(cmd.Context(), op)
	if err != nil || op.SortBy != kv.TargetKey && cut(reply, op.Limit) {
		if err == nil {
			err = &failure{cause: "the answer is larger than 2 MiB, and it is not in the order of keys", next: "read in the order of keys, or set a --limit"}
		}
		return reply, revision, err
	}
	all, end := reply, op.End
	if op.Revision <= 0 {
		op.Revision = revision
	}
	for cut(reply, op.Limit) {
		if op.Limit > 0 {
			op.Limit -= int64(len(reply.KVs))
		}
		if op.Descending {
			op.End = append(reply.Next, 0)
		} else {
			op.Key, op.End = reply.Next, end
		}
		if reply, _, err = c.Range(cmd.Context(), op); err != nil {
			return all, revision, err
		}
		all.KVs = append(all.KVs, reply.KVs...)
		all.More = reply.More
	}
	return all, revision, nil
}

// cut reports whether an answer ends where its size, not the limit, ended it.
func cut(reply kv.RangeReply, limit int64) bool {
	return reply.More && (limit <= 0 || int64(len(reply.KVs)) < limit)
}
