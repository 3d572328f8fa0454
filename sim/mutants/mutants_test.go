package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// hunt builds the simulator's tests with the mutant and lets them search.
func hunt(t *testing.T, m Mutant) (found string) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	file, dir := filepath.Join(root, m.File), t.TempDir()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.Old); n != 1 {
		t.Fatalf("%s holds %d times, not once: %q", m.File, n, m.Old)
	}
	changed := filepath.Join(dir, filepath.Base(m.File))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.Old, m.New, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if m.Directed != "" {
		return direct(t, root, overlay, m.Directed)
	}
	binary := filepath.Join(dir, "sim.test")
	build := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-c", "-o", binary, "./sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not build: %v\n%s", err, out)
	}
	return run(t, binary, m)
}

var named = regexp.MustCompile(`\b([ID][0-9]+): .*`)

// direct runs a directed schedule, which must fail and name an invariant.
func direct(t *testing.T, root, overlay, directed string) string {
	dir, test, _ := strings.Cut(directed, " ")
	cmd := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-run", "^"+test+"$", "-timeout", "60s", dir)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	if found := named.FindString(string(out)); found != "" {
		return "0 " + found
	}
	return "panic: " + lastLines(string(out))
}

func run(t *testing.T, binary string, m Mutant) string {
	cmd := exec.Command(binary, "-test.run", "^TestHunt$", "-test.v", "-test.timeout", "180s")
	runs := m.Hunt.Runs
	if runs == 0 {
		runs = 300
	}
	cmd.Env = append(os.Environ(), "SIM_HUNT="+strconv.Itoa(runs), "SIM_N="+strconv.Itoa(m.Hunt.N), "SIM_BYZANTINE="+m.Hunt.Byzantine)
	if m.Hunt.Primary {
		cmd.Env = append(cmd.Env, "SIM_PRIMARY=1")
	}
	if m.Hunt.Crash {
		cmd.Env = append(cmd.Env, "SIM_CRASH=1")
	}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if _, caught, ok := strings.Cut(line, "HUNT "); ok {
			return strings.TrimSpace(caught)
		}
	}
	if err != nil {
		return "panic: " + lastLines(string(out))
	}
	t.Logf("%s", lastLines(string(out)))
	return ""
}

func lastLines(s string) string {
	at := strings.Index(s, "panic:")
	if at < 0 {
		at = max(0, len(s)-400)
	}
	return s[at:min(len(s), at+400)]
}

// TestMutants hunts the quick ones, or with MUTANTS=all every one.
func TestMutants(t *testing.T) {
	only := os.Getenv("MUTANTS")
	for _, m := range Mutants {
		switch {
		case only == "all", strings.Contains(m.Name, only) && only != "", only == "" && m.Quick && !testing.Short():
		default:
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			found := hunt(t, m)
			if found == "" {
				t.Fatal("not caught")
			}
			_, text, _ := strings.Cut(found, " ") // the seed
			name, _, _ := strings.Cut(text, ":")
			if strings.HasPrefix(found, "panic") {
				name = "panic"
			}
			if !slices.Contains(m.Invariants, name) {
				t.Fatalf("caught as %q, want one of %v: %s", name, m.Invariants, found)
			}
			t.Log(found)
		})
	}
}
