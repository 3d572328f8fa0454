package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
)

// tagma runs one command line in this process.
func tagma(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &err}
	code = a.run(t.Context(), args)
	return code, out.String(), err.String()
}

func TestExitCodes(t *testing.T) {
	notDone := &client.Error{Outcome: pbft.OutcomeNotDone, Cause: "cause", Next: "next"}
	unknown := &client.Error{Outcome: pbft.OutcomeUnknown, Cause: "cause", Next: "next"}
	for _, c := range []struct {
		err     error
		code    int
		outcome string
	}{
		{notDone, exitFailed, "not done"},
		{fmt.Errorf("wrapped: %w", notDone), exitFailed, "not done"},
		{unknown, exitUnknown, "unknown"},
		{&failure{cause: "cause", next: "next"}, exitFailed, "not done"},
		{&failure{cause: "cause", next: "next", err: unknown}, exitUnknown, "unknown"},
		{usage("next", "cause"), exitUsage, "usage"},
		{errors.New("disk"), exitFailed, "not done"},
		{os.ErrNotExist, exitFailed, "not done"},
		{&client.Error{Outcome: pbft.OutcomeNotDone, Cause: "cause", Next: "next", Err: kv.CodeCompacted}, exitFailed, "not done"},
	} {
		code, outcome, cause, _ := explain(c.err)
		if code != c.code || outcome != c.outcome || cause == "" {
			t.Errorf("%v: code %d, outcome %q, cause %q", c.err, code, outcome, cause)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	empty := t.TempDir()
	wrongReplay := filepath.Join(t.TempDir(), "replay.json")
	if err := os.WriteFile(wrongReplay, []byte(`{"format":1,"nodes":-1,"choices":[1]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		want string
	}{
		{"frobnicate", `unknown command "frobnicate"`},
		{"--frobnicate", "unknown flag: --frobnicate"},
		{"get --frobnicate a", "unknown flag: --frobnicate"},
		{"get", "takes a key"},
		{"get a b c", "takes a key"},
		{"get --limit x a", "invalid argument"},
		{"get --limit -1 a", "are not negative"},
		{"get --order SIDEWAYS a", "unknown order"},
		{"get --keys-only --count-only a", "exclude each other"},
		{"get --prefix a b", "take one key"},
		{"get -w yaml a", "unknown output format"},
		{"get -w table --print-value-only a", "goes with -w simple"},
		{"put", "takes a key and a value"},
		{"del --prefix --from-key a", "exclude each other"},
		{"evidence forge", `unknown command "evidence forge"`},
		{"evidence show", "takes an id"},
		{"evidence verify", "takes one or more files"},
		{"compaction now", "is not a revision"},
		{"load", "takes a file"},
		{"load - --from-line 0", "--from-line is 0"},
		{"dump x", "takes no arguments"},
		{"init", "--dir is missing"},
		{"init --dir " + empty, "either --nodes or --node"},
		{"init --dir " + empty + " --nodes 4 --node a", "either --nodes or --node"},
		{"init --dir " + empty + " --nodes 65", "1 to 64 nodes"},
		{"init --dir " + empty + " --node a:x", "names no node"},
		{"init --dir " + empty + " --node a --node a", "have one address"},
		{"init --dir " + empty + " --node a:b:c", "neither a name nor an IP address"},
		{"init --dir " + empty + " --node [a:b:c]:7400", "neither a name nor an IP address"},
		{"demo --nodes 0", "1 to 64 nodes"},
		{"start", "takes the folder of a node"},
		{"start x --log-level loud", "unknown --log-level"},
		{"start x --byzantine rude", "unknown behaviour"},
		{"bench --workload pray", "unknown workload"},
		{"bench --callers 0", "--callers is 0"},
		{"bench --callers 100000 --value 100000", "--callers is 100000 and --value 100000"},
		{"sim --byzantine bogus", `unknown behaviour "bogus"; choose one of mute, lie, equivocate, twins, mutate, replay, stale or none`},
		{"sim --nodes 65", "--nodes is 65; give 1 to 64"},
		{"sim --nodes -1", "--nodes is -1"},
		{"sim --nodes 3 --byzantine lie", "no replica may be Byzantine"},
		{"sim --crash --byzantine lie", "nobody is Byzantine"},
		{"sim --replay " + wrongReplay, "--nodes is -1"},
		{"help nosuch", "unknown command"},
		{"help config nosuch", "unknown command"},
		{"completion nosuch", "no completion for"},
		{"sim --runs 0", "--runs is 0"},
		{"sim --tier model", "not built"},
		{"sim --story s --runs 2", "one run, not 2"},
		{"config frobnicate", "unknown command"},
		{"config check", "takes a folder"},
		{"version x", "takes no arguments"},
	} {
		code, stdout, stderr := tagma(t, "", strings.Fields(c.line)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "; ") || stdout != "" {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, want %q", c.line, code, stdout, stderr, c.want)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("init left %v, %v", entries, err)
	}
}

func TestErrorsAsJSON(t *testing.T) {
	code, _, stderr := tagma(t, "", "get", "a", "-w", "json", "--dir", t.TempDir())
	var e map[string]string
	if err := json.Unmarshal([]byte(stderr), &e); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	if e["error"] == "" || e["outcome"] != "not done" || !strings.Contains(e["next"], "tagma demo") || len(e) != 3 {
		t.Errorf("%v", e)
	}
}

// TestUsageErrorsAsJSON: also a command line that is not understood asks for
// the form of its errors, by flag or variable, wherever it stands.
func TestUsageErrorsAsJSON(t *testing.T) {
	check := func(line string) {
		t.Helper()
		code, _, stderr := tagma(t, "", strings.Fields(line)...)
		var e map[string]string
		if err := json.Unmarshal([]byte(stderr), &e); err != nil || code != exitUsage || e["error"] == "" || e["outcome"] != "usage" || e["next"] == "" {
			t.Errorf("%s: exit %d, %v: %s", line, code, err, stderr)
		}
	}
	for _, line := range []string{"get --bogus -w json", "get --bogus x -wjson a", "-w json get", "get a b c --write-out=json",
		"frobnicate -w json", "get --limit x a -w json", "help nosuch -w json", "completion nosuch -w json"} {
		check(line)
	}
	t.Setenv("TAGMA_WRITE_OUT", "json")
	check("get --bogus")
	check("get")
	t.Setenv("TAGMA_TIMEOUT", "soon")
	check("get a")
	if _, _, stderr := tagma(t, "", "get", "--bogus", "-w", "simple"); strings.HasPrefix(stderr, "{") {
		t.Errorf("a flag does not outweigh its variable: %s", stderr)
	}
}

// TestErrorsArePrintable: whatever text an error holds, it stays one line that
// cannot draw on a terminal.
func TestErrorsArePrintable(t *testing.T) {
	hostile := "replica 3: \r\x1b[2Kall is well\n\u009b1m\u202e\xff"
	for _, format := range []string{"simple", "json"} {
		var out bytes.Buffer
		a := &app{err: &out, format: format}
		a.complain(a.root(), &client.Error{Outcome: pbft.OutcomeNotDone, Cause: hostile, Next: hostile})
		text := strings.TrimSuffix(out.String(), "\n")
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.Contains(text, `\u`) {
			t.Errorf("%s: %q", format, text)
		}
	}
}

// TestNextStepIsApart: the next step of a wrapped error is not in its cause.
func TestNextStepIsApart(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("while starting: %w", client.Refuse("next", "cause: %w", os.ErrNotExist)),
		withNext(errors.New("while starting: cause; next")),
		withNext(fmt.Errorf("while starting: %w", client.Refuse("next", "cause"))),
	} {
		code, _, cause, next := explain(err)
		if code != exitFailed || !strings.HasPrefix(cause, "while starting: cause") || strings.Contains(cause, "next") || next != "next" {
			t.Errorf("%v: exit %d, cause %q, next %q", err, code, cause, next)
		}
	}
	away := fmt.Errorf("cannot listen: %w; stop whoever uses it", syscall.EADDRNOTAVAIL)
	if _, _, cause, next := explain(withNext(away)); !strings.Contains(next, "its own host") || strings.Contains(cause, "stop") {
		t.Errorf("cause %q, next %q", cause, next)
	}
	if _, _, cause, next := explain(withNext(errors.New("cause"))); cause != "cause" || next == "" {
		t.Errorf("cause %q, next %q", cause, next)
	}
}

// TestInitHere: the working folder cannot be replaced by a cluster's.
func TestInitHere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{".", dir} {
		code, _, stderr := tagma(t, "", "init", "--dir", name, "--nodes", "4")
		if code != exitFailed || !strings.Contains(stderr, "; name a new one") {
			t.Errorf("%s: exit %d: %s", name, code, stderr)
		}
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("init left %v, %v", entries, err)
	}
	if err := os.Mkdir("new", 0o755); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := tagma(t, "", "init", "--dir", "new", "--nodes", "4"); code != exitDone {
		t.Errorf("an empty folder: exit %d: %s", code, stderr)
	}
}

// TestLostKey: of a missing key is said more than where it was looked for.
func TestLostKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tagma(t, "", "init", "--dir", dir, "--nodes", "4")
	os.Remove(filepath.Join(dir, "client", client.KeyFile))
	os.Remove(filepath.Join(dir, "node-0", client.KeyFile))
	for _, line := range []string{"get a --dir " + dir, "start " + filepath.Join(dir, "node-0")} {
		code, _, stderr := tagma(t, "", strings.Fields(line)...)
		if code != exitFailed || !strings.Contains(stderr, "key is missing") || !strings.Contains(stderr, "; restore the file") {
			t.Errorf("%s: exit %d: %s", line, code, stderr)
		}
	}
	copyFile(t, filepath.Join(dir, "operator", client.KeyFile), filepath.Join(dir, "client", client.KeyFile))
	os.Chmod(filepath.Join(dir, "client", client.KeyFile), 0o600)
	_, _, stderr := tagma(t, "", "get", "a", "--dir", dir, "-w", "json")
	if !strings.Contains(stderr, "is no client of this cluster\",") || !strings.Contains(stderr, `"next":"restore both files`) {
		t.Errorf("another's key: %s", stderr)
	}
}

func TestVariables(t *testing.T) {
	t.Setenv("TAGMA_DIR", filepath.Join(t.TempDir(), "elsewhere"))
	code, _, stderr := tagma(t, "", "get", "a")
	if code != exitFailed || !strings.Contains(stderr, "elsewhere") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	code, _, stderr = tagma(t, "", "get", "a", "--dir", "given")
	if code != exitFailed || !strings.Contains(stderr, "given") {
		t.Errorf("a flag does not outweigh its variable: exit %d: %s", code, stderr)
	}
	t.Setenv("TAGMA_WRITE_OUT", "json")
	if _, stdout, _ := tagma(t, "", "version"); !strings.HasPrefix(stdout, "{") {
		t.Errorf("%s", stdout)
	}
	t.Setenv("TAGMA_TIMEOUT", "soon")
	code, _, stderr = tagma(t, "", "get", "a")
	if code != exitUsage || !strings.Contains(stderr, "TAGMA_TIMEOUT") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// TestHelp: every command has a help text with an example.
func TestHelp(t *testing.T) {
	root := (&app{}).root()
	for _, cmd := range root.Commands() {
		if !cmd.HasSubCommands() && (cmd.Short == "" || cmd.Example == "") {
			t.Errorf("%s has no help or no example", cmd.Name())
		}
		for _, sub := range cmd.Commands() {
			if sub.Short == "" || sub.Example == "" {
				t.Errorf("%s %s has no help or no example", cmd.Name(), sub.Name())
			}
		}
	}
	for _, args := range [][]string{{}, {"--help"}, {"get", "--help"}, {"completion", "bash"}} {
		code, stdout, stderr := tagma(t, "", args...)
		if code != exitDone || stdout == "" || stderr != "" {
			t.Errorf("%v: exit %d, stderr %q", args, code, stderr)
		}
	}
}

func TestInitAndCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "c")
	code, _, stderr := tagma(t, "", "init", "--dir", dir, "--node", "a.example", "--node", "[::1]:7@east", "--node", "c:9000", "--node", "d")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	g, err := client.ReadGenesis(filepath.Join(dir, "client", client.GenesisFile))
	if err != nil {
		t.Fatal(err)
	}
	if g.Name != "c" || g.Demo || g.Nodes[0].Address != "a.example:7400" || g.Nodes[1].Address != "[::1]:7" || g.Nodes[1].Zone != "east" {
		t.Errorf("%+v", g)
	}
	check := func(folder string, want int) string {
		t.Helper()
		code, stdout, stderr := tagma(t, "", "config", "check", folder)
		if code != want {
			t.Errorf("check %s: exit %d, want %d: %s%s", folder, code, want, stdout, stderr)
		}
		return stdout
	}
	check(dir, exitDone)
	check(filepath.Join(dir, "node-1"), exitDone)
	if code, _, stderr := tagma(t, "", "init", "--dir", dir, "--nodes", "4"); code != exitFailed || !strings.Contains(stderr, "not empty") {
		t.Errorf("a second init: exit %d: %s", code, stderr)
	}
	if code, _, stderr := tagma(t, "", "start", filepath.Join(dir, "node-0"), "--byzantine", "lie"); code != exitUsage || !strings.Contains(stderr, "real cluster") {
		t.Errorf("--byzantine: exit %d: %s", code, stderr)
	}
	os.Chmod(filepath.Join(dir, "node-1", client.KeyFile), 0o644)
	if out := check(dir, exitBad); !strings.Contains(out, "chmod 600") {
		t.Errorf("%s", out)
	}
	os.Chmod(filepath.Join(dir, "node-1", client.KeyFile), 0o600)
	other := filepath.Join(t.TempDir(), "other")
	tagma(t, "", "init", "--dir", other, "--nodes", "4")
	copyFile(t, filepath.Join(other, "client", client.GenesisFile), filepath.Join(dir, "node-2", client.GenesisFile))
	if out := check(dir, exitBad); !strings.Contains(out, "different clusters") {
		t.Errorf("%s", out)
	}
	if code, _, stderr := tagma(t, "", "config", "check", t.TempDir()); code != exitFailed || !strings.Contains(stderr, "holds no cluster") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDemoRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	for line, want := range map[string]string{
		"--byzantine 4=lie":                   "names no node",
		"--byzantine lie":                     "names no node",
		"--byzantine 1=rude":                  "unknown behaviour",
		"--byzantine 1=lie --byzantine 2=lie": "cannot stand 2 that misbehave",
		"--nodes 7":                           "holds a cluster of 4 nodes, not 7",
	} {
		if line == "--nodes 7" {
			tagma(t, "", "init", "--dir", dir, "--nodes", "4", "--demo")
		}
		code, _, stderr := tagma(t, "", append([]string{"demo", "--dir", dir}, strings.Fields(line)...)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d: %s", line, code, stderr)
		}
		if _, err := os.Stat(dir); err == nil {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if line != "--nodes 7" {
				t.Errorf("%s: refused, and yet it made the folder", line)
			}
		}
	}
	real := filepath.Join(t.TempDir(), "real")
	tagma(t, "", "init", "--dir", real, "--nodes", "4")
	for _, extra := range []string{"", "--fresh"} {
		code, _, stderr := tagma(t, "", append([]string{"demo", "--dir", real}, strings.Fields(extra)...)...)
		if code != exitFailed || !strings.Contains(stderr, "real cluster") {
			t.Errorf("a real cluster: exit %d: %s", code, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(real, "node-0")); err != nil {
		t.Errorf("--fresh deleted a real cluster: %v", err)
	}
}

func TestExplain(t *testing.T) {
	code, stdout, _ := tagma(t, "", "config", "explain")
	for _, name := range []string{"view_timeout_ticks", "50 (500ms)", "checkpoint_interval_slots", "session_expiry", "8 KiB"} {
		if code != exitDone || !strings.Contains(stdout, name) {
			t.Errorf("exit %d, %q is missing in\n%s", code, name, stdout)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &err}
	if code := a.run(ctx, []string{"sim", "--runs", "5"}); code != exitFailed || !strings.Contains(err.String(), "interrupted") {
		t.Errorf("exit %d: %s", code, err.String())
	}
}
