package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/node"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/quorum"
)

const defaultPort = 7400

func (a *app) initCmd() *cobra.Command {
	var dir, name string
	var count, basePort int
	var members []string
	var demo bool
	cmd := &cobra.Command{
		Use:   "init --dir D (--nodes N | --node HOST[:PORT][@ZONE] ...)",
		Short: "Make keys, genesis and folders for a new cluster",
		Long: `Init makes a new folder D: node-0, node-1, ... one for each node, client for
applications and commands, operator for who will change the cluster. Copy each
node's folder to its host and delete it here, then run tagma start there.
Whoever has a key.pem is that node, client or operator.`,
		Example: `  tagma init --dir shop --node a.example.org --node b.example.org@east --node c.example.org:7401 --node d.example.org
  tagma init --dir test --nodes 4 --base-port 9000 --demo`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usage("name the folder to make with --dir", "--dir is missing")
			}
			if (count > 0) == (len(members) > 0) {
				return usage("give one of them", "either --nodes or --node says who is in the cluster")
			}
			for i := range count {
				members = append(members, fmt.Sprintf("127.0.0.1:%d", basePort+i))
			}
			g, err := plan(name, demo, members)
			if err != nil {
				return err
			}
			if err := makeCluster(dir, g); err != nil {
				return err
			}
			return a.tellCluster(dir, g)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "the `folder` to make")
	f.StringVar(&name, "name", "", "`name` of the cluster, for people (default: the folder's)")
	f.IntVar(&count, "nodes", 0, "`number` of nodes, all on this computer")
	f.IntVar(&basePort, "base-port", defaultPort, "`port` of node 0 with --nodes; node i has this plus i")
	f.StringArrayVar(&members, "node", nil, "`HOST[:PORT][@ZONE]` of a node; repeat for each")
	f.BoolVar(&demo, "demo", false, "allow nodes to be started with --byzantine")
	cmd.PreRun = func(*cobra.Command, []string) {
		if name == "" && dir != "" {
			if path, err := filepath.Abs(dir); err == nil {
				name = filepath.Base(path)
			}
		}
	}
	return cmd
}

// plan makes a genesis without keys for the given members.
func plan(name string, demo bool, members []string) (*client.Genesis, error) {
	if n := quorum.Size(len(members)); !n.Valid() {
		return nil, usage("give 4 nodes to survive one that lies, 7 to survive two", "a cluster has 1 to %d nodes, not %d", quorum.MaxN, len(members))
	}
	g := &client.Genesis{Format: client.GenesisFormat, Name: name, Created: time.Now().UTC().Format(time.RFC3339),
		Demo: demo, Protocol: client.ProtocolVersion, Params: client.NewGenesisParams(pbft.Defaults())}
	for id, member := range members {
		address, zone, _ := strings.Cut(member, "@")
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = strings.Trim(address, "[]"), strconv.Itoa(defaultPort)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " /") {
			return nil, usage("write HOST, HOST:PORT or HOST:PORT@ZONE, ports from 1 to 65535", "%q names no node", member)
		}
		g.Nodes = append(g.Nodes, client.GenesisNode{ID: id, Address: net.JoinHostPort(host, port), Zone: zone})
	}
	return g, nil
}

// makeCluster makes all keys and writes the whole folder, or nothing of it.
func makeCluster(dir string, g *client.Genesis) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return &failure{cause: dir + " exists and is not empty", next: "name another folder, or delete this one if nothing in it is needed"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err == nil && here(dir) {
		return &failure{cause: "init makes a new folder, and you are in this one", next: "name a new one, such as --dir " + filepath.Join(dir, "shop")}
	}
	keys := make([]ed25519.PrivateKey, len(g.Nodes)+2)
	public := make([]string, len(keys))
	for i := range keys {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		keys[i], public[i] = key, hex.EncodeToString(pub)
	}
	n := len(g.Nodes)
	for i := range g.Nodes {
		g.Nodes[i].Key = public[i]
	}
	g.Clients, g.Operators = []string{public[n]}, []string{public[n+1]}
	if _, err := g.Config(); err != nil {
		return usage("see `tagma init --help`", "%v", err)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(parent, ".tagma-init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for i := range g.Nodes {
		if err := node.Create(filepath.Join(work, nodeFolder(i)), g, i, keys[i]); err != nil {
			return err
		}
	}
	for i, role := range []string{"client", "operator"} {
		if err := writeIdentity(filepath.Join(work, role), g, keys[n+i]); err != nil {
			return err
		}
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &failure{cause: fmt.Sprintf("the empty folder %s cannot be replaced: %v", dir, err), next: "name a folder that does not exist yet"}
	}
	return os.Rename(work, dir)
}

// here reports whether dir is the working folder.
func here(dir string) bool {
	a, err := os.Stat(dir)
	b, errHere := os.Stat(".")
	return err == nil && errHere == nil && os.SameFile(a, b)
}

func nodeFolder(id int) string { return "node-" + strconv.Itoa(id) }

func writeIdentity(dir string, g *client.Genesis, key ed25519.PrivateKey) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := client.WriteFile(filepath.Join(dir, client.GenesisFile), g.Encode(), 0o644); err != nil {
		return err
	}
	return client.WriteKey(filepath.Join(dir, client.KeyFile), key)
}

func (a *app) tellCluster(dir string, g *client.Genesis) error {
	n := quorum.Size(len(g.Nodes))
	if a.format == "json" {
		id := g.ID()
		return writeJSON(a.out, map[string]any{"format": 1, "dir": dir, "cluster": hex.EncodeToString(id[:]), "n": int(n), "f": n.F()})
	}
	fmt.Fprintf(a.out, "made cluster %q (%s) in %s: %d nodes, of which %d may lie\n", g.Name, g.ID(), dir, n, n.F())
	for _, member := range g.Nodes {
		fmt.Fprintf(a.out, "  node %d at %s: copy %s to its host and run `tagma start %s`\n", member.ID, member.Address,
			filepath.Join(dir, nodeFolder(member.ID)), nodeFolder(member.ID))
	}
	fmt.Fprintf(a.out, "applications use %s; keep %s offline\n", filepath.Join(dir, "client"), filepath.Join(dir, "operator"))
	a.warnSmall(n)
	return nil
}

// warnSmall says loudly what a small cluster does not survive.
func (a *app) warnSmall(n quorum.Size) {
	if n.F() == 0 {
		fmt.Fprintf(a.err, "WARNING: with %d nodes no node may lie or be lost (f = 0). Use 4 or more to survive one that does.\n", n)
	}
}
