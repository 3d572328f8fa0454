package main

import (
	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) delCmd() *cobra.Command {
	var flags delFlags
	var whole bool
	cmd := &cobra.Command{
		Use:   "del KEY [END]",
		Short: "Delete a key or a range of keys",
		Long:  "Del deletes a key, the keys from KEY to before END, or those with a prefix, as one revision. It prints how many there were.",
		Example: `  tagma del greeting
  tagma del --prefix users/
  tagma del a m --prev-kv`,
		Args: args(1, 2, "a key, and the end of a range if one is meant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := flags.op(args)
			if err != nil {
				return err
			}
			return a.execute(cmd, op, nil)
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	flags.bind(cmd.Flags())
	cmd.Flags().BoolVar(&whole, "range", false, "no effect: etcdctl's promise that a range is meant")
	return cmd
}

func (a *app) compactionCmd() *cobra.Command {
	var revision int64
	cmd := &cobra.Command{
		Use:     "compaction REVISION",
		Short:   "Forget the history before a revision",
		Example: `  tagma compaction 1042`,
		Args: func(cmd *cobra.Command, given []string) (err error) {
			if err = args(1, 1, "a revision")(cmd, given); err == nil {
				revision, err = parseRevision(given[0])
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				result, err := c.Execute(cmd.Context(), kv.Compact{Revision: revision})
				if err != nil {
					return err
				}
				if a.format == "json" {
					return a.printer(c.Config().Cluster).answer(result.Reply, result.Revision)
				}
				return printLine(a.out, "compacted revision %d", revision)
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	return cmd
}
