//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the path of the built command; it is built when a test first needs it.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "tagma")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var scratch string // folder of this test run

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tagma-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// cluster is a running demo.
type cluster struct {
	t      *testing.T
	dir    string
	demo   *exec.Cmd
	stderr bytes.Buffer
	exited chan error
}

// startDemo runs `tagma demo` with the given flags until the test ends. It
// returns once the demo has said "ready".
func startDemo(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "demo")}
	c.start(flags...)
	t.Cleanup(func() { c.stop() })
	return c
}

// start runs the demo in c's folder.
func (c *cluster) start(flags ...string) {
	c.t.Helper()
	path, err := built()
	if err != nil {
		c.t.Fatal(err)
	}
	c.demo = exec.Command(path, append([]string{"demo", "--dir", c.dir}, flags...)...)
	c.stderr.Reset()
	c.demo.Stderr = &c.stderr
	stdout, err := c.demo.StdoutPipe()
	if err == nil {
		err = c.demo.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	exited := make(chan error, 1)
	c.exited = exited
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		last := ""
		for lines.Scan() {
			if last = lines.Text(); last == "ready" {
				ready <- true
			}
		}
		ready <- false // if it never was
		exited <- c.demo.Wait()
	}()
	if !<-ready {
		c.t.Fatalf("the demo ended before it was ready: %v\n%s", <-exited, c.stderr.String())
	}
}

// stop ends the demo as Ctrl-C does, and reports how it ended.
func (c *cluster) stop() error {
	if c.exited == nil {
		return nil
	}
	c.demo.Process.Signal(syscall.SIGTERM)
	err := <-c.exited
	c.exited = nil
	return err
}

// answer is what one command printed, and how it ended.
type answer struct {
	code        int
	out, errors string
}

// run runs one command against the cluster.
func (c *cluster) run(stdin string, args ...string) answer {
	c.t.Helper()
	path, err := built()
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "TAGMA_DIR="+c.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return answer{cmd.ProcessState.ExitCode(), out.String(), errors.String()}
}

// ok runs a command that must succeed and returns what it printed.
func (c *cluster) ok(stdin string, args ...string) string {
	c.t.Helper()
	a := c.run(stdin, args...)
	if a.code != exitDone {
		c.t.Fatalf("tagma %s: exit %d\n%s%s", strings.Join(args, " "), a.code, a.out, a.errors)
	}
	return a.out
}

// kill ends a node as kill -9 does and waits until it is gone.
func (c *cluster) kill(id int) {
	c.t.Helper()
	pid := readPID(filepath.Join(c.dir, nodeFolder(id)))
	if pid == 0 {
		c.t.Fatalf("node %d has no process id", id)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

// verdicts are those of status by replica, and its exit code.
func (c *cluster) verdicts() (verdicts []string, code int) {
	c.t.Helper()
	a := c.run("", "status", "-w", "json")
	var s statusReport
	if err := json.Unmarshal([]byte(a.out), &s); err != nil {
		c.t.Fatalf("status: exit %d, %v\n%s%s", a.code, err, a.out, a.errors)
	}
	for _, r := range s.Groups[0].Replicas {
		verdicts = append(verdicts, r.Verdict)
	}
	return verdicts, a.code
}

// TestDemo is the first five minutes of a user.
func TestDemo(t *testing.T) {
	c := startDemo(t)
	if got := c.ok("", "put", "greeting", "hello"); got != "OK\n" {
		t.Errorf("put: %q", got)
	}
	if got := c.ok("", "get", "greeting"); got != "greeting\nhello\n" {
		t.Errorf("get: %q", got)
	}
	if got, code := c.verdicts(); code != exitDone || strings.Join(got, " ") != "ok ok ok ok" {
		t.Errorf("status: %v, exit %d", got, code)
	}
	if got := c.ok("mod(\"greeting\") > \"0\"\n\nput greeting again\nget greeting\n\n", "txn"); got != "SUCCESS\n\nOK\n\ngreeting\nagain\n" {
		t.Errorf("txn: %q", got)
	}
	text := lines(500)
	c.ok(text, "load", "-", "--keyspace", "other")
	dumped := c.ok("", "dump", "--keyspace", "other")
	c.ok(dumped, "load", "-", "--keyspace", "third")
	if again := c.ok("", "dump", "--keyspace", "third"); again != dumped || len(dumped) != len(text) {
		t.Errorf("dump, load, dump: %d, %d and %d bytes", len(text), len(dumped), len(again))
	}
	c.kill(0)
	if got := c.ok("", "del", "greeting", "--timeout", "30s"); got != "1\n" {
		t.Errorf("del: %q", got)
	}
	if got, code := c.verdicts(); code != exitBad || strings.Join(got, " ") != "down ok ok ok" {
		t.Errorf("status: %v, exit %d", got, code)
	}
	if err := c.stop(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if told := c.stderr.String(); !strings.Contains(told, "node 0 ended: signal: killed") || !strings.Contains(told, "stopped 3 nodes") {
		t.Errorf("the demo told: %s", told)
	}
	if log, err := os.ReadFile(filepath.Join(c.dir, nodeFolder(1), logName)); err != nil || !strings.Contains(string(log), "msg=running node=1") ||
		!strings.HasSuffix(string(log), "msg=\"stopped cleanly\" node=1\n") {
		t.Errorf("the log of node 1, %v: %s", err, log)
	}
	c.start()
	if got := c.ok("", "get", "--prefix", "", "--count-only", "--keyspace", "other"); got != "500\n" {
		t.Errorf("after a restart: %q", got)
	}
	if a := c.run("", "demo", "--dir", c.dir); a.code != exitFailed || !strings.Contains(a.errors, "is running") {
		t.Errorf("a second demo: %+v", a)
	}
}

// TestDemoNamesTheLiar: answers are right, and status says who lies.
func TestDemoNamesTheLiar(t *testing.T) {
	c := startDemo(t, "--byzantine", "2=lie")
	c.ok(lines(200), "load", "-")
	if got := c.ok("", "dump"); len(got) != len(lines(200)) {
		t.Errorf("dump has %d bytes", len(got))
	}
	if got, code := c.verdicts(); code != exitBad || strings.Join(got, " ") != "ok ok lying ok" {
		t.Errorf("status: %v, exit %d", got, code)
	}
}
