package storage

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// content of a file is its name and something long: a torn one is seen.
func fileContent(name string) []byte { return bytes.Repeat([]byte(name), 700) }

// TestFilesAreWhole cuts the power at every change: what is there afterwards is
// whole, what Write returned for is there, and the folder opens.
func TestFilesAreWhole(t *testing.T) {
	names := []string{"a", "b", "c", "b"}
	for seed := range uint64(8) {
		for cut := 1; ; cut++ {
			random := rand.New(rand.NewPCG(seed, uint64(cut)))
			fsys := NewCrashFS(random.IntN)
			f, err := OpenFiles(fsys, "node/evidence")
			if err != nil {
				t.Fatal(err)
			}
			fsys.CutPower(cut)
			var durable []string
			for _, name := range names {
				if err = f.Write(name, fileContent(name)); err != nil {
					break
				}
				durable = append(durable, name)
			}
			if f, err = OpenFiles(fsys.Crash(), "node/evidence"); err != nil {
				t.Fatalf("cut at change %d: %v", cut, err)
			}
			found := map[string]bool{}
			err = f.Each(1<<20, func(name string, data []byte) {
				if strings.HasSuffix(name, tempSuffix) || !bytes.Equal(data, fileContent(name)) {
					t.Fatalf("cut at change %d: %s has %d bytes", cut, name, len(data))
				}
				found[name] = true
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range durable {
				if !found[name] {
					t.Fatalf("cut at change %d: %s was written and is lost", cut, name)
				}
			}
			if len(durable) == len(names) {
				break
			}
		}
	}
}

// TestFilesFailedSync: a write whose sync fails leaves nothing behind.
func TestFilesFailedSync(t *testing.T) {
	fsys := NewCrashFS(rand.New(rand.NewPCG(1, 1)).IntN)
	f, err := OpenFiles(fsys, "d")
	if err != nil {
		t.Fatal(err)
	}
	fsys.FailSync(1)
	if err := f.Write("a", fileContent("a")); err == nil {
		t.Fatal("a failed sync is no error")
	}
	if err := f.Write("b", fileContent("b")); err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := f.Each(3, func(name string, data []byte) { all = append(all, name+string(data)) }); err != nil {
		t.Fatal(err)
	}
	if strings.Join(all, " ") != "bbbb" {
		t.Fatalf("found %q", all)
	}
	if f.Remove("b") != nil || f.Remove("b") == nil {
		t.Fatal("remove")
	}
}
