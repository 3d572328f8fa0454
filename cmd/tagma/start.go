package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/node"
)

func (a *app) startCmd() *cobra.Command {
	var byzantine, monitor, level string
	cmd := &cobra.Command{
		Use:   "start FOLDER",
		Short: "Run a node in the foreground",
		Long: `Start runs the node whose folder is given and logs to standard error. SIGTERM and
Ctrl-C stop it cleanly: a primary first hands over. Its process id stands in
the file pid of the folder while it runs.`,
		Example: `  tagma start shop/node-0
  tagma start shop/node-0 --monitor 127.0.0.1:9100     # /metrics /livez /readyz /debug/state /debug/pprof/
  tagma start test/node-2 --byzantine lie              # demo clusters only`,
		Args: args(1, 1, "the folder of a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := node.Options{Dir: filepath.Clean(args[0]), Monitor: monitor}
			var severity slog.Level
			if err := severity.UnmarshalText([]byte(level)); err != nil {
				return usage("choose debug, info, warn or error", "unknown --log-level %q", level)
			}
			o.Log = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: severity}))
			if byzantine != "" {
				if err := checkBehaviour(byzantine); err != nil {
					return err
				}
				g, err := client.ReadGenesis(filepath.Join(o.Dir, client.GenesisFile))
				if errors.Is(err, fs.ErrNotExist) {
					return &failure{cause: err.Error(), next: "give the folder of a node, such as tagma-demo/node-0", err: err}
				}
				if err != nil {
					return err
				}
				if !g.Demo {
					return usage("leave it out; only clusters made with `tagma init --demo` or `tagma demo` have such nodes",
						"--byzantine is refused: %s belongs to a real cluster", o.Dir)
				}
				o.Behave = behave(byzantine)
			}
			collectLess()
			return a.runNode(cmd, o)
		},
	}
	cmd.Flags().StringVar(&byzantine, "byzantine", "", "misbehave: "+behaviourList())
	cmd.Flags().StringVar(&monitor, "monitor", "", "loopback `address` for metrics and health; empty for none")
	cmd.Flags().StringVar(&level, "log-level", "info", "least `severity` logged: debug, info, warn or error")
	return cmd
}

// runNode runs a node until it stops or is told to.
func (a *app) runNode(cmd *cobra.Command, o node.Options) error {
	n, err := node.Start(o)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &failure{cause: err.Error(), next: fmt.Sprintf("stop that process first; its id stands in %s", filepath.Join(o.Dir, "pid")), err: err}
	}
	if err != nil {
		return withNext(err)
	}
	pid := filepath.Join(o.Dir, "pid")
	if err := replaceFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		o.Log.Warn("the process id was not written", "file", pid, "error", err)
	}
	o.Log.Info("running", "node", n.ID(), "folder", o.Dir)
	stopped := make(chan error, 1)
	go func() { stopped <- n.Wait() }()
	select {
	case err = <-stopped:
	case <-cmd.Context().Done():
		n.Stop()
		err = <-stopped
	}
	if rmErr := os.Remove(pid); rmErr != nil {
		o.Log.Warn("the process id was not removed", "file", pid, "error", rmErr)
	}
	if err != nil {
		return withNext(fmt.Errorf("the node stopped: %w", err))
	}
	o.Log.Info("stopped cleanly", "node", n.ID())
	return nil
}

// withNext sets the next step apart that the text of a node's error ends in,
// after its last semicolon.
func withNext(err error) error {
	var e *client.Error
	if errors.As(err, &e) {
		return err
	}
	text := err.Error()
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		text, _, _ = strings.Cut(text, "; ")
		return &failure{cause: text, next: "this computer does not have that address: start each node on its own host", err: err}
	}
	if at := strings.LastIndex(text, "; "); at >= 0 {
		return &failure{cause: text[:at], next: text[at+2:], err: err}
	}
	return &failure{cause: text, next: `see "A node that stops" in docs/operations.md`, err: err}
}

// replaceFile writes a file so that readers see the old or the new content.
func replaceFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// collectLess trades memory for time: a node's live heap is small, so the
// collector may wait for more garbage, but not beyond a limit that keeps a
// loaded node small too. GOGC and GOMEMLIMIT overrule it.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20)
	}
}
