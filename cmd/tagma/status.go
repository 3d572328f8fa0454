package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) statusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say which replicas are well, and which lie, lag or are lost",
		Long: `Status asks every replica to execute two reads and to report what it sees,
compares all answers, and checks the evidence in the reports against the
members' keys. It knows nothing else of the cluster. Exit code 4 means that a
replica is not ok.

Verdicts: ok; slow; silent (connected, answers nothing); down (no connection);
lying (with evidence); repairing (it says so itself); unknown (the group as a
whole does not answer).`,
		Example: `  tagma status
  tagma status -w json | jq '.groups[0].replicas[] | select(.verdict != "ok")'`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				s := survey(cmd.Context(), c, a.timeout)
				if err := a.printStatus(c.Genesis(), s); err != nil {
					return err
				}
				for _, g := range s.Groups {
					if !g.Healthy {
						return errBad
					}
				}
				return nil
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	return cmd
}

// surveys is how often all replicas are asked before one is called slow: a
// computer may have been busy for a moment.
const surveys = 3

// survey asks all replicas and judges their answers.
func survey(ctx context.Context, c *client.Client, timeout time.Duration) statusReport {
	cfg := c.Config()
	read := kv.Range{Interval: everything, Limit: 1}.Encode()
	var g groupStatus
	lied := make([]bool, len(cfg.Members))
	for range surveys {
		asking, cancel := context.WithTimeout(ctx, timeout)
		answers := c.Survey(asking, read, read)
		cancel()
		probing, cancel := context.WithTimeout(ctx, min(timeout, time.Second))
		probes := c.Probe(probing)
		cancel()
		gathering, cancel := context.WithTimeout(ctx, timeout)
		exhibits := c.Evidence(gathering, probes)
		cancel()
		g = judge(cfg, answers, probes, exhibits, lied)
		again := false
		for _, r := range g.Replicas {
			again = again || r.Verdict == verdictSlow
		}
		if !again || ctx.Err() != nil {
			break
		}
	}
	return statusReport{Format: 1, Cluster: hex.EncodeToString(cfg.Cluster[:]), Epoch: cfg.Epoch, Groups: []groupStatus{g}}
}

func (a *app) printStatus(genesis *client.Genesis, s statusReport) error {
	if a.format == "json" {
		return writeJSON(a.out, s)
	}
	fmt.Fprintf(a.out, "cluster %q %s, epoch %d\n", genesis.Name, genesis.ID(), s.Epoch)
	for _, g := range s.Groups {
		health := "healthy"
		if !g.Healthy {
			health = "NOT HEALTHY"
		}
		fmt.Fprintf(a.out, "group %d: %s; n %d, f %d, view %d, primary %d, stable %d, executed %d; can lose %d more\n",
			g.Group, health, g.N, g.F, g.View, g.Primary, g.Stable, g.Executed, g.CanLose)
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "REPLICA\tADDRESS\tROLE\tVERDICT\tLAG\tREASON")
		for _, r := range g.Replicas {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\n", r.ID, genesis.Nodes[r.ID].Address, r.Role, r.Verdict, r.Lag, r.Reason)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if advice := advise(g); advice != "" {
			fmt.Fprintln(a.out, advice)
		}
	}
	return nil
}

// advise is what to do about a group that is not healthy.
func advise(g groupStatus) string {
	lost, lying := 0, 0
	for _, r := range g.Replicas {
		switch r.Verdict {
		case verdictDown, verdictSilent:
			lost++
		case verdictLying:
			lying++
		}
	}
	switch {
	case g.Healthy:
		return ""
	case lost+lying > g.F:
		return fmt.Sprintf("next: more than f = %d replicas are lost or lie; start nodes that are down before anything else", g.F)
	case lying > 0:
		return "next: answers stay right; stop the node that lies and find out why; it counts as one of the f"
	case lost > 0:
		return "next: answers stay right; start the node that is lost with `tagma start`, or see its log"
	}
	return "next: run `tagma status` again in a moment"
}
