package main

import (
	"bufio"
	"errors"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) dumpCmd() *cobra.Command {
	var prefix string
	var revision int64
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write all pairs as JSON lines, at one revision, in the order of keys",
		Long: `Dump writes what load reads: one JSON object a line, in the order of keys,
{"key":...,"value":...}, or "key64" and "value64" in base64 for what is not
UTF-8. All of it is read at one revision, whatever is written meanwhile.`,
		Example: `  tagma dump > backup.jsonl
  tagma dump --prefix users/ | wc -l
  tagma dump | tagma load - --dir ./other`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, err := interval([]string{prefix}, true, false)
			if err != nil {
				return err
			}
			if revision < 0 {
				return usage("give 0 or a positive number", "--rev is not negative")
			}
			return a.with(func(c *client.Client) error {
				return a.dump(cmd, c, kv.Range{Interval: i, Revision: revision})
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with this `text`")
	cmd.Flags().Int64Var(&revision, "rev", 0, "read as of this `revision` (0: the present)")
	return cmd
}

// dump pages through a range by key. Each page is as large as an answer may be.
func (a *app) dump(cmd *cobra.Command, c *client.Client, op kv.Range) error {
	out := bufio.NewWriterSize(a.out, 1<<16)
	var line []byte
	for {
		reply, revision, err := c.Range(cmd.Context(), op)
		if errors.Is(err, kv.CodeCompacted) {
			return &failure{cause: "the revision was compacted before all of it was read: the output is incomplete", next: "run dump again"}
		}
		if err != nil {
			out.Flush()
			return err
		}
		for i := range reply.KVs {
			line = appendLine(line[:0], reply.KVs[i].Key, reply.KVs[i].Value)
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		if !reply.More {
			return out.Flush()
		}
		if op.Revision <= 0 {
			op.Revision = revision
		}
		op.Key = reply.Next
	}
}
