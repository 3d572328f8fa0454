package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/quorum"
)

const (
	demoKeyspace = "tagma-demo"
	demoReady    = time.Minute // for the cluster to answer
)

// demoFile is demo.json: where the nodes of a demo are.
type demoFile struct {
	Format  int        `json:"format"`
	Cluster string     `json:"cluster"`
	Client  string     `json:"client"` // folder
	Nodes   []demoNode `json:"nodes"`  // by id
}

type demoNode struct {
	ID      int    `json:"id"`
	Address string `json:"address"`
	Monitor string `json:"monitor"` // /metrics /livez /readyz /debug/state /debug/pprof/
	PID     int    `json:"pid"`
}

func (a *app) demoCmd() *cobra.Command {
	var dir string
	var count int
	var byzantine []string
	var fresh bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a cluster on this computer until Ctrl-C",
		Long: `Demo makes a cluster in a folder, or takes the one that is there, starts each of
its nodes as a process of its own, and prints "ready" once it answers. Kill a
node with kill -9, or let one lie, and see that every answer stays right.`,
		Example: `  tagma demo
  tagma demo --byzantine 2=lie
  tagma demo --nodes 7 --dir ./seven --fresh`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := quorum.Size(count)
			if !n.Valid() {
				return usage("give 4 or 7", "a cluster has 1 to %d nodes, not %d", quorum.MaxN, count)
			}
			d := &demo{app: a, dir: dir}
			if err := d.find(); err != nil {
				return err
			}
			if have := d.genesis; have != nil && !fresh {
				if n = quorum.Size(len(have.Nodes)); cmd.Flags().Changed("nodes") && int(n) != count {
					return usage("leave --nodes out, or add --fresh to delete that cluster and its data",
						"%s holds a cluster of %d nodes, not %d", dir, n, count)
				}
			}
			if err := d.parseByzantine(byzantine, n); err != nil {
				return err
			}
			if d.genesis == nil || fresh {
				if err := d.create(count); err != nil {
					return err
				}
			}
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", defaultDir, "`folder` of the cluster")
	f.IntVar(&count, "nodes", 4, "`number` of nodes of a new cluster")
	f.StringArrayVar(&byzantine, "byzantine", nil, "`ID=BEHAVIOUR` of a node that misbehaves: "+behaviourList()+"; may be repeated")
	f.BoolVar(&fresh, "fresh", false, "delete the folder's cluster first and make a new one")
	return cmd
}

// demo is a running demo.
type demo struct {
	*app
	dir     string
	genesis *client.Genesis
	bad     map[int]string // by id: behaviour
	nodes   []*child       // by id
}

// find reads the folder's cluster, if there is one; it must be a demo's, and
// not running.
func (d *demo) find() error {
	g, err := client.ReadGenesis(filepath.Join(d.dir, "client", client.GenesisFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !g.Demo:
		return &failure{cause: d.dir + " holds a real cluster, made without --demo", next: "name another folder with --dir"}
	}
	if id := d.anyAlive(len(g.Nodes)); id >= 0 {
		return &failure{cause: fmt.Sprintf("node %d of %s is running", id, d.dir), next: "stop the demo that runs there, or name another folder with --dir"}
	}
	d.genesis = g
	return nil
}

// create makes a new cluster, in place of the demo's that was found.
func (d *demo) create(count int) error {
	if d.genesis != nil {
		if err := os.RemoveAll(d.dir); err != nil {
			return err
		}
	}
	addresses, err := freeAddresses(count)
	if err != nil {
		return err
	}
	if d.genesis, err = plan("demo", true, addresses); err != nil {
		return err
	}
	return makeCluster(d.dir, d.genesis)
}

// anyAlive is the id of a node that runs in the folder, -1 if none does.
func (d *demo) anyAlive(count int) int {
	for id := range count {
		folder := filepath.Join(d.dir, nodeFolder(id))
		if pid := readPID(folder); pid > 0 && alive(pid) && runsNode(pid, folder) {
			return id
		}
	}
	return -1
}

// readPID is the process id in a node's folder, 0 if there is none.
func readPID(folder string) int {
	text, err := os.ReadFile(filepath.Join(folder, "pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// runsNode reports whether a process seems to be a node of that name: process
// ids are used again. Where that cannot be seen it says yes.
func runsNode(pid int, folder string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return true
	}
	return strings.Contains(string(line), "start\x00") && strings.Contains(string(line), filepath.Base(folder))
}

// freeAddresses finds consecutive free ports below those that the system gives
// to outgoing connections.
func freeAddresses(count int) ([]string, error) {
	for range 100 {
		base := 20000 + rand.IntN(12000-count)
		var addresses []string
		for i := range count {
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(base+i))
			l, err := net.Listen("tcp", address)
			if err != nil {
				break
			}
			l.Close()
			addresses = append(addresses, address)
		}
		if len(addresses) == count {
			return addresses, nil
		}
	}
	return nil, &failure{cause: fmt.Sprintf("found no %d free ports in a row on 127.0.0.1", count), next: "stop what uses them, or make a cluster with `tagma init --demo --base-port`"}
}

func (d *demo) parseByzantine(given []string, n quorum.Size) error {
	d.bad = map[int]string{}
	for _, text := range given {
		left, name, ok := strings.Cut(text, "=")
		id, err := strconv.Atoi(left)
		if !ok || err != nil || id < 0 || id >= int(n) {
			return usage(fmt.Sprintf("write ID=BEHAVIOUR with an ID from 0 to %d", int(n)-1), "--byzantine %q names no node", text)
		}
		if err := checkBehaviour(name); err != nil {
			return err
		}
		d.bad[id] = name
	}
	if len(d.bad) > n.F() {
		return usage("let fewer misbehave, or make a larger cluster: N nodes stand (N-1)/3",
			"%d nodes cannot stand %d that misbehave, only %d", n, len(d.bad), n.F())
	}
	return nil
}

// run starts the nodes, waits until they answer, and then until it is told to
// stop.
func (d *demo) run(ctx context.Context) error {
	d.warnSmall(quorum.Size(len(d.genesis.Nodes)))
	exits := make(chan *child, len(d.genesis.Nodes))
	file, err := d.startAll(exits)
	if err == nil {
		err = d.await(ctx, exits)
	}
	if err == nil && ctx.Err() == nil {
		d.tell(file)
		err = d.watch(ctx, exits)
	}
	stopped, forced := d.stopAll(exits)
	if err == nil {
		fmt.Fprintf(d.err, "stopped %d nodes", stopped)
		if forced > 0 {
			fmt.Fprintf(d.err, ", %d of them by force", forced)
		}
		fmt.Fprintln(d.err)
	}
	return err
}

func (d *demo) startAll(exits chan<- *child) (*demoFile, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	monitors, err := freeAddresses(len(d.genesis.Nodes))
	if err != nil {
		return nil, err
	}
	id := d.genesis.ID()
	file := &demoFile{Format: 1, Cluster: hex.EncodeToString(id[:]), Client: filepath.Join(d.dir, "client")}
	share := max(1, runtime.NumCPU()/len(d.genesis.Nodes))
	for i, member := range d.genesis.Nodes {
		c := &child{id: i, dir: filepath.Join(d.dir, nodeFolder(i))}
		args := []string{"start", c.dir, "--monitor", monitors[i]}
		if name := d.bad[i]; name != "" {
			args = append(args, "--byzantine", name)
		}
		if err := c.start(binary, args, share, exits); err != nil {
			return nil, fmt.Errorf("starting node %d: %w", i, err)
		}
		d.nodes = append(d.nodes, c)
		file.Nodes = append(file.Nodes, demoNode{i, member.Address, monitors[i], c.cmd.Process.Pid})
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, err
	}
	return file, replaceFile(filepath.Join(d.dir, "demo.json"), append(text, '\n'))
}

// await waits until the cluster has committed a write.
func (d *demo) await(ctx context.Context, exits <-chan *child) error {
	c, err := client.Open(client.Options{Dir: d.dir, Keyspace: demoKeyspace})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, demoReady)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.Put(ctx, kv.Put{Key: []byte("started"), Value: []byte(time.Now().UTC().Format(time.RFC3339))})
		settle(ctx, c)
		answered <- err
	}()
	for lost := 0; ; {
		select {
		case err := <-answered:
			if err != nil && ctx.Err() != context.Canceled {
				return &failure{cause: fmt.Sprintf("the cluster did not answer: %v", err), next: fmt.Sprintf("see %s/node-*/log.txt", d.dir), err: err}
			}
			return nil
		case dead := <-exits:
			d.report(dead)
			if lost++; lost > quorum.Size(len(d.nodes)).F() {
				return &failure{cause: fmt.Sprintf("%d of %d nodes did not start; node %d: %s", lost, len(d.nodes), dead.id, dead.lastLine()),
					next: fmt.Sprintf("mend what %s says", filepath.Join(dead.dir, logName))}
			}
		}
	}
}

// settle waits until no node says any more that it is joining, for a few
// seconds at most: the cluster answers without it, status would show it.
func settle(ctx context.Context, c *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		joining := false
		ask, done := context.WithTimeout(ctx, 300*time.Millisecond)
		for _, p := range c.Probe(ask) {
			joining = joining || p.Report != nil && p.Report.State != ""
		}
		done()
		if !joining {
			return
		}
	}
}

// tell prints what to type next.
func (d *demo) tell(file *demoFile) {
	n := quorum.Size(len(d.genesis.Nodes))
	fmt.Fprintf(d.out, "%d nodes in %s, of which %d may lie:\n", n, d.dir, n.F())
	for _, node := range file.Nodes {
		fmt.Fprintf(d.out, "  node %d  %s  process %d", node.ID, node.Address, node.PID)
		if name := d.bad[node.ID]; name != "" {
			fmt.Fprintf(d.out, "  told to %s", name)
		}
		fmt.Fprintln(d.out)
	}
	suffix := ""
	if d.dir != defaultDir {
		suffix = " --dir " + d.dir
	}
	fmt.Fprintf(d.out, "in another terminal:\n  tagma put greeting hello%s\n  tagma get greeting%s\n  tagma status%s\n", suffix, suffix, suffix)
	fmt.Fprintf(d.out, "try: kill -9 $(cat %s), then get and status again; Ctrl-C here stops all\n", filepath.Join(d.dir, nodeFolder(0), "pid"))
	fmt.Fprintln(d.out, "ready")
}

// watch reports nodes that die, until it is told to stop or none is left.
func (d *demo) watch(ctx context.Context, exits <-chan *child) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case dead := <-exits:
			d.report(dead)
			if d.left() == 0 {
				return &failure{cause: "all nodes have ended", next: fmt.Sprintf("see %s/node-*/log.txt, then start the demo again", d.dir)}
			}
		}
	}
}

func (d *demo) report(dead *child) {
	dead.reported = true
	text := fmt.Sprintf("node %d ended: %s", dead.id, dead.status)
	if last := dead.lastLine(); last != "" {
		text += "; its log ends: " + last
	}
	fmt.Fprintf(d.err, "%s; start it again with `tagma start %s`\n", text, dead.dir)
}
