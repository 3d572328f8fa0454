package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// build makes a binary of a package of this module.
func build(t *testing.T, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return path
}

// freePorts finds a run of n free ports on loopback and returns the first.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for base := 21000 + os.Getpid()%10000; base < 60000; base += n {
		free := true
		for port := base; port < base+n && free; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

// TestCounter: the example as its page shows it, with a replica killed on the way.
func TestCounter(t *testing.T) {
	counter := build(t, "github.com/tagma-db/tagma/examples/counter")
	tagma := build(t, "github.com/tagma-db/tagma/cmd/tagma")
	dir := filepath.Join(t.TempDir(), "sum")
	base := fmt.Sprint(freePorts(t, 4))
	if out, err := exec.Command(tagma, "init", "--dir", dir, "--nodes", "4", "--base-port", base).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var nodes []*exec.Cmd
	for id := range 4 {
		node := exec.Command(counter, "node", filepath.Join(dir, fmt.Sprint("node-", id)))
		node.Stderr = os.Stderr
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
		t.Cleanup(func() { node.Process.Kill(); node.Wait() })
	}
	add := func(amount string) string {
		t.Helper()
		var errors bytes.Buffer
		for end := time.Now().Add(30 * time.Second); ; { // nodes that start are not there yet
			cmd := exec.Command(counter, "add", dir, amount)
			cmd.Stderr = &errors
			out, err := cmd.Output()
			if err == nil {
				return strings.TrimSpace(string(out))
			}
			if time.Now().After(end) || !strings.Contains(errors.String(), "not sent") {
				t.Fatalf("%v\n%s", err, errors.String())
			}
		}
	}
	if got := add("5"); got != "5" {
		t.Fatalf("5 is %s", got)
	}
	nodes[0].Process.Kill() // the primary
	if got := add("7"); got != "12" {
		t.Fatalf("5 + 7 is %s", got)
	}
	if got := add("0"); got != "12" {
		t.Fatalf("5 + 7 + 0 is %s", got)
	}
}
