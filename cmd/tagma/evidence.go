package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
)

func (a *app) evidenceCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "List, explain and verify what shows that a replica lied",
		Long: `Evidence is what replicas record of a faulty one. A signed item convinces anyone
who knows the members' keys: it can be exported and verified without the
cluster. A witnessed item convinces only the replicas that saw it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("type `tagma evidence ls`, `tagma evidence show ID` or `tagma evidence verify FILE`", "unknown command %q", "evidence "+args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.evidenceLsCmd(), a.evidenceShowCmd(), a.evidenceVerifyCmd())
	return cmd
}

func (a *app) evidenceLsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the evidence that the replicas hold",
		Long: `Ls asks every replica for its evidence and lists each item once. Signed items are
verified here: no replica can make one up. An item that a replica names and
nobody shows is left out.`,
		Example: `  tagma evidence ls
  tagma evidence ls -w json | jq -r '.evidence[] | select(.class == "signed") | .id'`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				found, err := a.gather(cmd.Context(), c)
				if err != nil {
					return err
				}
				return a.printEvidence(found)
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	return cmd
}

func (a *app) evidenceShowCmd() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Explain one item, or write it to a file",
		Long: `Show says what an item's messages say and why no correct replica sends them. ID
is as ls prints it; its first digits are enough. With --out the item goes to a
file, for whoever has the cluster's genesis and doubts.`,
		Example: `  tagma evidence show 3f2a
  tagma evidence show 3f2a --out replica-2.evidence`,
		Args: args(1, 1, "an id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				found, err := a.gather(cmd.Context(), c)
				if err != nil {
					return err
				}
				x, err := pick(found, strings.ToLower(args[0]))
				if err != nil {
					return err
				}
				if out != "" {
					if err := os.WriteFile(out, x.Item.Encode(), 0o644); err != nil {
						return err
					}
				}
				return a.printExhibit(c.Config(), x, out)
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	cmd.Flags().StringVar(&out, "out", "", "write the item to this `file`")
	return cmd
}

func (a *app) evidenceVerifyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify FILE…",
		Short: "Say whether exported evidence proves what it says, without the cluster",
		Long: `Verify recomputes everything from the file and the keys in the genesis of --dir: no
replica is asked. Exit code 0: every file proves that the replica it names is
faulty. Exit code 4: one of them does not.`,
		Example: `  tagma evidence verify replica-2.evidence --dir shop/client
  tagma evidence verify *.evidence -w json`,
		Args: args(1, 1<<10, "one or more files"),
		RunE: func(_ *cobra.Command, files []string) error {
			folder, err := client.FindFolder(a.dir)
			if err != nil {
				return err
			}
			genesis, err := client.ReadGenesis(filepath.Join(folder, client.GenesisFile))
			if err != nil {
				return err
			}
			cfg, err := genesis.Config()
			if err != nil {
				return err
			}
			var all []itemText
			for _, name := range files {
				t, err := verifyFile(cfg, name)
				if err != nil {
					return err
				}
				all = append(all, t)
			}
			return a.printVerified(all)
		},
	}
	cmd.Flags().StringVar(&a.dir, "dir", defaultDir, "the cluster's `folder`, or its client folder")
	return cmd
}

// gather asks all replicas. It leaves out what nobody shows, and says so.
func (a *app) gather(ctx context.Context, c *client.Client) ([]client.Exhibit, error) {
	probing, cancel := context.WithTimeout(ctx, min(a.timeout, time.Second))
	probes := c.Probe(probing)
	cancel()
	answered := 0
	for _, p := range probes {
		if p.Report != nil {
			answered++
		}
	}
	if answered == 0 {
		return nil, &failure{cause: "no replica answers", next: "see `tagma status`"}
	}
	if missing := len(probes) - answered; missing > 0 && a.format != "json" {
		fmt.Fprintf(a.err, "warning: %d of %d replicas do not answer; they may hold more\n", missing, len(probes))
	}
	asking, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var shown []client.Exhibit
	hidden := 0
	for _, x := range c.Evidence(asking, probes) {
		if x.Item == nil {
			hidden++
		} else {
			shown = append(shown, x)
		}
	}
	if hidden > 0 && a.format != "json" {
		fmt.Fprintf(a.err, "warning: replicas name %d items that none of them shows; they count for nothing\n", hidden)
	}
	return shown, nil
}

// pick finds the one item whose id begins with the given digits.
func pick(found []client.Exhibit, digits string) (*client.Exhibit, error) {
	var hit *client.Exhibit
	for i := range found {
		if !strings.HasPrefix(hex.EncodeToString(found[i].ID[:]), digits) {
			continue
		}
		if hit != nil {
			return nil, &failure{cause: fmt.Sprintf("several items begin with %q", digits), next: "give more digits"}
		}
		hit = &found[i]
	}
	if hit == nil || digits == "" {
		return nil, &failure{cause: fmt.Sprintf("no replica shows an item %q", digits), next: "see `tagma evidence ls`"}
	}
	return hit, nil
}

func (a *app) printEvidence(found []client.Exhibit) error {
	list := []itemText{}
	for i := range found {
		list = append(list, summary(&found[i]))
	}
	if a.format == "json" {
		return writeJSON(a.out, map[string]any{"format": 1, "evidence": list})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "no evidence against any replica")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tACCUSED\tKIND\tCLASS\tMESSAGE\tVIEW\tSLOT\tSEEN BY")
	for _, t := range list {
		view, slot := place(t.Message, t.View, t.Seq)
		fmt.Fprintf(w, "%.16s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Accused, t.Kind, t.Class, t.Message, view, slot, numbers(t.Seen))
	}
	return w.Flush()
}

func (a *app) printExhibit(cfg *pbft.Config, x *client.Exhibit, out string) error {
	t := summary(x)
	t.Why, t.Frames = reasons(cfg, x.Item), frames(cfg, x.Item)
	if a.format == "json" {
		return writeJSON(a.out, t)
	}
	fmt.Fprintf(a.out, "%s against replica %d, %s, held by replicas %s\n%s\n\n", t.Kind, t.Accused, t.Class, numbers(t.Seen), t.ID)
	for _, f := range t.Frames {
		fmt.Fprintf(a.out, "  %s\n", f.line())
	}
	fmt.Fprintf(a.out, "\n%s\n", strings.Join(t.Why, "\n"))
	if out != "" {
		fmt.Fprintf(a.out, "written to %s; check it with: tagma evidence verify %s\n", out, out)
	}
	return nil
}

func (a *app) printVerified(all []itemText) error {
	bad := false
	for _, t := range all {
		bad = bad || !t.Proven
		if a.format != "json" {
			if t.Proven {
				fmt.Fprintf(a.out, "%s: proven: replica %d is faulty: %s\n", t.File, t.Accused, t.Kind)
			} else {
				fmt.Fprintf(a.out, "%s: NOT PROVEN: %s\n", t.File, t.Problem)
			}
		}
	}
	if a.format == "json" {
		if err := writeJSON(a.out, map[string]any{"format": 1, "files": all}); err != nil {
			return err
		}
	}
	if bad {
		return errBad
	}
	return nil
}

// verifyFile judges one file by the members' keys alone.
func verifyFile(cfg *pbft.Config, name string) (t itemText, err error) {
	f, err := os.Open(name)
	if err != nil {
		return t, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, pbft.MaxEvidence+1))
	if err != nil {
		return t, err
	}
	e, err := pbft.DecodeEvidence(raw)
	if err != nil {
		return itemText{File: name, Problem: "it is not a file that `tagma evidence show --out` wrote, or it is damaged"}, nil
	}
	t = summary(&client.Exhibit{EvidenceRef: e.Ref(), Item: e})
	t.File = name
	if err := pbft.NewOpener(cfg, auth.Ed25519{}).Verify(e); err != nil {
		t.Proven, t.Problem = false, err.Error()
		return t, nil
	}
	t.Why, t.Frames = reasons(cfg, e), frames(cfg, e)
	return t, nil
}
