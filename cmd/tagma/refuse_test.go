//go:build unix

package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStartRefuses: each of these gets one clear line with cause and next
// step, exit code 1, and leaves the folder as it was.
func TestStartRefuses(t *testing.T) {
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "c")}
	other := filepath.Join(t.TempDir(), "other")
	for _, dir := range []string{c.dir, other} {
		c.ok("", "init", "--dir", dir, "--nodes", "4", "--demo")
	}
	node := filepath.Join(c.dir, nodeFolder(0))
	in := func(name string) string { return filepath.Join(node, name) }
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	segment := in("log/0000000000000001.segment")
	for _, x := range []struct {
		name, want string
		change     string // file that is replaced
		content    []byte // nil: it is removed
		mode       os.FileMode
	}{
		{"no node folder", "is not a node folder", in("FORMAT"), nil, 0},
		{"unknown format", "use the release that wrote it", in("FORMAT"), []byte(strings.Replace(string(read(in("FORMAT"))), "tagma 1", "tagma 2", 1)), 0o644},
		{"damaged format", "is damaged", in("FORMAT"), []byte("x"), 0o644},
		{"another cluster's genesis", "different clusters", in("genesis.json"), read(filepath.Join(other, nodeFolder(0), "genesis.json")), 0o644},
		{"a genesis of another format", "use the build that made it", in("genesis.json"), []byte(strings.Replace(string(read(in("genesis.json"))), `"format": 1`, `"format": 2`, 1)), 0o644},
		{"an edited genesis", "copy genesis.json again", in("genesis.json"), append(read(in("genesis.json")), ' '), 0o644},
		{"another node's key", "not the key that the genesis names", in("key.pem"), read(filepath.Join(c.dir, nodeFolder(1), "key.pem")), 0o600},
		{"a key that others can read", "chmod 600", in("key.pem"), read(in("key.pem")), 0o644},
		{"no log", "lost its memory", in("log/manifest"), nil, 0},
		{"another cluster's log", "lost its memory", segment, read(filepath.Join(other, nodeFolder(0), "log/0000000000000001.segment")), 0o644},
		{"a truncated log", "lost its memory", segment, read(segment)[:4096], 0o644},
	} {
		t.Run(x.name, func(t *testing.T) {
			before := read(x.change)
			info, err := os.Stat(x.change)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(x.change)
			if x.content != nil {
				if err := os.WriteFile(x.change, x.content, x.mode); err != nil {
					t.Fatal(err)
				}
			}
			a := c.run("", "start", node)
			if a.code != exitFailed || !strings.Contains(a.errors, x.want) || strings.Count(a.errors, "\n") != 1 {
				t.Errorf("exit %d, %q", a.code, a.errors)
			}
			apart(t, c.run("", "start", node, "-w", "json"))
			if err := os.WriteFile(x.change, before, info.Mode()); err != nil {
				t.Fatal(err)
			}
			os.Chmod(x.change, info.Mode())
		})
	}
	t.Run("a port in use", func(t *testing.T) {
		g := string(read(in("genesis.json")))
		at := strings.Index(g, `"address": "`) + len(`"address": "`)
		address := g[at : at+strings.Index(g[at:], `"`)]
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if a := c.run("", "start", node); a.code != exitFailed || !strings.Contains(a.errors, "cannot listen") {
			t.Errorf("exit %d, %q", a.code, a.errors)
		}
		apart(t, c.run("", "start", node, "-w", "json"))
	})
}

// apart checks that the error of a command with -w json has a next step, and
// that its cause does not.
func apart(t *testing.T, a answer) {
	t.Helper()
	var e map[string]string
	if err := json.Unmarshal([]byte(a.errors), &e); err != nil || e["next"] == "" || e["outcome"] != "not done" || strings.Contains(e["error"], e["next"]) {
		t.Errorf("%v: %s", err, a.errors)
	}
}

// TestLiarsAreNamed: mute and equivocating replicas, as first primary and as a
// backup, change no answer, and status says which it is.
func TestLiarsAreNamed(t *testing.T) {
	for _, x := range []struct{ flag, want string }{
		{"0=mute", "silent ok ok ok"},
		{"2=equivocate", "ok ok lying ok"},
		{"0=equivocate", "lying ok ok ok"},
	} {
		t.Run(x.flag, func(t *testing.T) {
			c := startDemo(t, "--byzantine", x.flag)
			text := lines(300)
			c.ok(text, "load", "-")
			if got := c.ok("", "dump"); len(got) != len(text) {
				t.Errorf("dump has %d bytes, %d were loaded", len(got), len(text))
			}
			if got, _ := c.verdicts(); strings.Join(got, " ") != x.want {
				t.Errorf("status: %v, want %s", got, x.want)
			}
		})
	}
}

// TestKillAll: kill -9 of all four; what was acknowledged is there, and the
// next command works.
func TestKillAll(t *testing.T) {
	c := startDemo(t)
	text := lines(300)
	c.ok(text, "load", "-")
	dumped := c.ok("", "dump")
	for id := range 4 {
		c.kill(id)
	}
	c.stop()
	c.start()
	if again := c.ok("", "dump"); again != dumped {
		t.Errorf("%d bytes before, %d after", len(dumped), len(again))
	}
	c.ok("", "put", "after", "it")
}
