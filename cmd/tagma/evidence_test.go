package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// TestVerifyNeedsNoCluster: a file is judged by the genesis alone.
func TestVerifyNeedsNoCluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	if code, _, stderr := tagma(t, "", "init", "--dir", dir, "--nodes", "4"); code != exitDone {
		t.Fatal(stderr)
	}
	genesis, err := client.ReadGenesis(filepath.Join(dir, "client", client.GenesisFile))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := genesis.Config()
	if err != nil {
		t.Fatal(err)
	}
	key, err := client.ReadKey(filepath.Join(dir, nodeFolder(2), client.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	prepare := func(digest byte) *wire.Frame {
		var w wire.Writer
		w.U64(1)
		w.U64(5)
		w.Raw(append([]byte{digest}, make([]byte, 31)...))
		h := wire.Header{Kind: uint8(pbft.KindPrepare), Cluster: cfg.Cluster, Group: cfg.Group, Epoch: cfg.Epoch, Author: 2}
		return wire.EncodeSigned(h, w.B, auth.NewSigner(key).Sign)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	item := charge(2, prepare(1), prepare(2))
	good := write("good", item.Encode())
	cut, twice := item.Encode()[:50], *item
	twice.Culprit = 3
	for _, c := range []struct {
		name  string
		files []string
		code  int
		out   string
	}{
		{"a proven one", []string{good}, exitDone, "good: proven: replica 2 is faulty: equivocation\n"},
		{"a damaged one", []string{write("cut", cut)}, exitBad, "NOT PROVEN: it is not a file that"},
		{"one of two", []string{good, write("other", twice.Encode())}, exitBad, "other: NOT PROVEN: a frame is not by the accused"},
		{"a witnessed one", []string{write("junk", pbft.Junk(2, prepare(1)).Encode())}, exitBad, "NOT PROVEN: witnessed, not signed"},
		{"a huge one", []string{write("huge", make([]byte, pbft.MaxEvidence+100))}, exitBad, "NOT PROVEN: it is not a file that"},
	} {
		args := append([]string{"evidence", "verify", "--dir", dir}, c.files...)
		if code, out, stderr := tagma(t, "", args...); code != c.code || !strings.Contains(out, c.out) || stderr != "" {
			t.Errorf("%s: exit %d, %q, %q", c.name, code, out, stderr)
		}
	}
	code, out, _ := tagma(t, "", "evidence", "verify", "--dir", dir, "-w", "json", good)
	id := item.ID()
	for _, part := range []string{`{"files":[{"file":`, `"id":"` + hex.EncodeToString(id[:]) + `"`, `"accused":2,"kind":"equivocation","class":"signed","proven":true`,
		`"message":"prepare","view":1,"seq":5`, `"says":"batch 0100000000000000"`, `"format":1}`} {
		if code != exitDone || !strings.Contains(out, part) {
			t.Errorf("exit %d, %s is not in %s", code, part, out)
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	tagma(t, "", "init", "--dir", other, "--nodes", "4")
	if code, out, _ := tagma(t, "", "evidence", "verify", "--dir", other, good); code != exitBad || !strings.Contains(out, "another cluster") {
		t.Errorf("in another cluster: exit %d, %q", code, out)
	}
	if code, _, stderr := tagma(t, "", "evidence", "verify", "--dir", dir, filepath.Join(dir, "nothing")); code != exitFailed || !strings.Contains(stderr, "check the path") {
		t.Errorf("no file: exit %d, %q", code, stderr)
	}
	if code, _, stderr := tagma(t, "", "evidence", "verify", "--dir", t.TempDir(), good); code != exitFailed || !strings.Contains(stderr, "name the folder") {
		t.Errorf("no cluster: exit %d, %q", code, stderr)
	}
}

func TestPick(t *testing.T) {
	found := []client.Exhibit{{EvidenceRef: pbft.EvidenceRef{ID: wire.Digest{0xab, 1}}}, {EvidenceRef: pbft.EvidenceRef{ID: wire.Digest{0xab, 2}}}}
	for digits, want := range map[string]string{"ab01": "", "ab02": "", "ab": "give more digits", "": "several", "cd": "see `tagma evidence ls`"} {
		x, err := pick(found, digits)
		if want == "" && (err != nil || hex.EncodeToString(x.ID[:2]) != digits) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", digits, x, err)
		}
	}
}

// TestEvidenceOutlivesARestart: an equivocator is on record, its item explains
// itself and verifies while nothing runs, and a restart of all, in which it
// behaves, forgets nothing.
func TestEvidenceOutlivesARestart(t *testing.T) {
	c := startDemo(t, "--byzantine", "2=equivocate")
	for i := range 20 {
		c.ok("", "put", fmt.Sprint("key", i), "value")
	}
	list := func() (signed []string) {
		var found struct{ Evidence []itemText }
		if err := json.Unmarshal([]byte(c.ok("", "evidence", "ls", "-w", "json")), &found); err != nil {
			t.Fatal(err)
		}
		for _, x := range found.Evidence {
			if x.Accused != 2 {
				t.Errorf("I6: the correct replica %d is accused: %+v", x.Accused, x)
			}
			if x.Class == "signed" && x.Proven {
				signed = append(signed, x.ID)
			}
		}
		return signed
	}
	before := list()
	if len(before) == 0 {
		t.Fatalf("an equivocator is on nobody's record: %s", c.ok("", "evidence", "ls"))
	}
	file := filepath.Join(t.TempDir(), "item")
	text := c.ok("", "evidence", "show", before[0][:12], "--out", file)
	for _, part := range []string{"equivocation against replica 2, signed", "by replica 2, view 0", "Only who holds the key of replica 2"} {
		if !strings.Contains(text, part) {
			t.Errorf("show does not say %q: %s", part, text)
		}
	}
	if a := c.run("", "evidence", "show", "ffffffffffff"); a.code != exitFailed || !strings.Contains(a.errors, "tagma evidence ls") {
		t.Errorf("an id that is not there: %+v", a)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.ok("", "evidence", "verify", file)
	c.start()
	c.ok("", "put", "after", "restart")
	after := strings.Join(list(), " ")
	for _, id := range before {
		if !strings.Contains(after, id) {
			t.Errorf("after a restart %s is forgotten", id)
		}
	}
	if got, code := c.verdicts(); code != exitBad || strings.Join(got, " ") != "ok ok lying ok" {
		t.Errorf("status: %v, exit %d", got, code)
	}
}
