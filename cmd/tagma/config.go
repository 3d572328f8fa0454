package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/transport"
)

func (a *app) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Explain the parameters of a cluster, or check its folders",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("type `tagma config explain` or `tagma config check FOLDER`", "unknown command %q", "config "+args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.explainCmd(), a.checkCmd())
	return cmd
}

func (a *app) explainCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Print every limit and parameter, with what it does",
		Long: `Explain prints the parameters of the cluster in --dir, as its genesis states them,
or those of a new cluster if there is none, and the limits that are built in.`,
		Example: "  tagma config explain --dir shop",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params, source := client.NewGenesisParams(pbft.Defaults()), "a new cluster"
			folder, err := client.FindFolder(a.dir)
			switch {
			case err == nil:
				g, err := client.ReadGenesis(filepath.Join(folder, client.GenesisFile))
				if err != nil {
					return err
				}
				params, source = g.Params, folder
			case !errors.Is(err, fs.ErrNotExist) || cmd.Flags().Changed("dir"):
				return err
			}
			return a.printSettings(settings(params), source)
		},
	}
	cmd.Flags().StringVar(&a.dir, "dir", defaultDir, "the cluster's `folder`")
	return cmd
}

// setting is one parameter or limit.
type setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Genesis bool   `json:"genesis"` // stands in the genesis; else built in
	Meaning string `json:"meaning"`
}

func (a *app) printSettings(all []setting, source string) error {
	if a.format == "json" {
		return writeJSON(a.out, map[string]any{"format": 1, "source": source, "settings": all})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "parameters of %s\t\t\n", source)
	for _, s := range all {
		where := ""
		if !s.Genesis {
			where = "built in; "
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\n", s.Name, s.Value, where, s.Meaning)
	}
	return w.Flush()
}

// settings is the table of docs/protocol.md section 13.
func settings(p client.GenesisParams) []setting {
	number := func(n int) string { return strconv.Itoa(n) }
	ticks := func(n int) string {
		return fmt.Sprintf("%d (%v)", n, time.Duration(n)*time.Duration(p.TickMillis)*time.Millisecond)
	}
	millis := func(n int64) string { return (time.Duration(n) * time.Millisecond).String() }
	c, s := pbft.ClientDefaults(), host.DefaultSessions()
	clientTicks := func(n pbft.Ticks) string { return (time.Duration(n) * client.TickMillis * time.Millisecond).String() }
	return []setting{
		{"tick_ms", number(p.TickMillis), true, "length of a tick"},
		{"view_timeout_ticks", ticks(p.ViewTimeoutTicks), true, "a request older than this, and no progress: the view is left"},
		{"view_timeout_max_ticks", ticks(p.ViewMaxTicks), true, "the time-out doubles up to this"},
		{"window_slots", number(p.WindowSlots), true, "W: slots in flight"},
		{"checkpoint_interval_slots", number(p.IntervalSlots), true, "K: slots between checkpoints"},
		{"checkpoint_interval_bytes", size(p.IntervalBytes), true, "bytes of bodies after which one is due"},
		{"log_slots", number(p.LogSlots), true, "L: slots kept above the stable checkpoint"},
		{"batch_bytes", size(p.BatchBytes), true, "request bodies in a batch, unless one alone is larger"},
		{"batch_requests", number(p.BatchRequests), true, "requests in a batch"},
		{"quiet_ticks", ticks(p.QuietTicks), true, "without a new slot, until the last one is checkpointed"},
		{"status_min_ticks", ticks(p.StatusMinTicks), true, "first pause between statuses"},
		{"status_max_ticks", ticks(p.StatusMaxTicks), true, "longest pause between statuses"},
		{"time_bound_ms", millis(p.TimeBoundMillis), true, "a batch's time may differ this much from a replica's clock"},
		{"pending_requests", number(p.PendingRequests), true, "P: requests pending at a replica"},
		{"pending_bytes", size(p.PendingBytes), true, "and their bytes"},
		{"client_pending_requests", number(p.ClientRequests), true, "of them, of one client"},
		{"client_pending_bytes", size(p.ClientBytes), true, "and their bytes"},
		{"key", size(kv.MaxKey), false, "longest key"},
		{"operation", size(pbft.MaxOperation), false, "largest operation, value included"},
		{"transaction", number(kv.MaxTxnOps), false, "operations in a branch of a transaction"},
		{"answer", size(kv.MaxPayload), false, "pairs in one answer; more are read page by page"},
		{"request", fmt.Sprintf("%s, %d", size(pbft.MaxRequest), pbft.MaxOperations), false, "bytes and operations signed at once"},
		{"frame", size(transport.MaxFrame), false, "largest message"},
		{"session_expiry", millis(s.Expiry), false, "without use, until a session is over"},
		{"session_window", number(int(s.Window)), false, "requests of a session beyond those acknowledged"},
		{"session_records", number(s.Records), false, "sessions of one client in one keyspace"},
		{"session_results", size(int(s.Cached)), false, "results kept of one session"},
		{"client_flight", fmt.Sprintf("%d, %s", c.InFlight, size(c.InFlightSize)), false, "requests that a client has under way, and their bytes"},
		{"client_retry", clientTicks(c.Retry) + " to " + clientTicks(c.RetryMax), false, "pause until a client sends again, doubling"},
		{"client_timeout", client.DefaultTimeout.String(), false, "default of --timeout"},
		{"log_segment", size(storage.DefaultSegmentBytes), false, "size of a log file, preallocated and recycled"},
	}
}

func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<19) == 0:
		return fmt.Sprintf("%g MiB", float64(n)/(1<<20))
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func (a *app) checkCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check FOLDER",
		Short: "Check a cluster's, node's or client's folder without changing it",
		Long: `Check reads keys, their permissions, the genesis and the format of a folder, and of
the node and client folders in it, and says whether they belong together.
Exit code 4 means that something is wrong.`,
		Example: "  tagma config check shop\n  tagma config check shop/node-0",
		Args:    args(1, 1, "a folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			found, err := checkFolder(args[0])
			if err != nil {
				return err
			}
			bad := false
			for _, f := range found {
				bad = bad || f.Problem != ""
			}
			if a.format == "json" {
				err = writeJSON(a.out, map[string]any{"format": 1, "ok": !bad, "folders": found})
			} else {
				for _, f := range found {
					text := "ok: " + f.What
					if f.Problem != "" {
						text = "BAD: " + oneLine(f.Problem)
					}
					fmt.Fprintf(a.out, "%s: %s\n", f.Folder, text)
				}
			}
			if err == nil && bad {
				err = errBad
			}
			return err
		},
	}
}

// finding is what check says of one folder.
type finding struct {
	Folder  string `json:"folder"`
	What    string `json:"what"`
	Problem string `json:"problem"`
}

// checkFolder checks a folder that holds a genesis, or all such folders in it.
func checkFolder(dir string) ([]finding, error) {
	if _, err := os.Stat(filepath.Join(dir, client.GenesisFile)); err == nil {
		f, _ := checkIdentity(dir)
		return []finding{f}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []finding
	var first []byte
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(sub, client.GenesisFile)); err != nil {
			continue
		}
		f, raw := checkIdentity(sub)
		if first == nil {
			first = raw
		} else if f.Problem == "" && !bytes.Equal(first, raw) {
			f.Problem = fmt.Sprintf("%s differs from that of %s: these folders belong to different clusters", client.GenesisFile, found[0].Folder)
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		return nil, &failure{cause: dir + " holds no cluster, node or client", next: "name a folder that `tagma init` made"}
	}
	return found, nil
}

// checkIdentity checks a folder with a genesis and a key, and its FORMAT if it
// is a node's. It returns the genesis' bytes.
func checkIdentity(dir string) (f finding, raw []byte) {
	f.Folder = dir
	g, err := client.ReadGenesis(filepath.Join(dir, client.GenesisFile))
	if err != nil {
		f.Problem = err.Error()
		return f, nil
	}
	raw = g.Encode()
	key, err := client.ReadKey(filepath.Join(dir, client.KeyFile))
	if err != nil {
		f.Problem = err.Error()
		return f, raw
	}
	f.What = role(g, auth.NewSigner(key).Public().String())
	if f.What == "" {
		f.Problem = "the genesis does not know the key in " + client.KeyFile + ": the two files are of different clusters or owners"
		return f, raw
	}
	text, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(f.What, "node"):
		f.Problem = "the file FORMAT is missing: restore it, or replace this node"
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		f.Problem = err.Error()
	default:
		id := g.ID()
		want := fmt.Sprintf("tagma 1\ncluster %x\n%s\n", id[:], f.What)
		if string(text) != want {
			f.Problem = "FORMAT names another format, cluster or node than genesis and key: restore the folder's own files"
		}
	}
	return f, raw
}

// role is what the owner of a key is in a cluster, "" if nothing.
func role(g *client.Genesis, key string) string {
	for _, n := range g.Nodes {
		if n.Key == key {
			return fmt.Sprintf("node %d", n.ID)
		}
	}
	for _, k := range g.Clients {
		if k == key {
			return "client"
		}
	}
	for _, k := range g.Operators {
		if k == key {
			return "operator"
		}
	}
	return ""
}
