package node

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/sim"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// TestEvidenceSurvivesRestart: what a liar signed is known after a restart of
// all, in which it behaves, and a file that is torn stops nobody.
func TestEvidenceSurvivesRestart(t *testing.T) {
	c := newCluster(t, 4)
	c.start(0, 1, 3)
	n, err := Start(Options{Dir: c.dirs[2], Behave: func(cfg *pbft.Config, self int, signer auth.Signer, next host.Outbox) (host.Outbox, error) {
		return sim.Behaviour("equivocate", cfg, self, signer, next)
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[2] = n
	t.Cleanup(n.Stop)
	s := c.open()
	for i := range 30 {
		s.put(fmt.Sprint("k", i), "v")
	}
	accused := func(id int) []int {
		state, ok := c.nodes[id].state(t.Context())
		if !ok {
			t.Fatalf("node %d does not answer", id)
		}
		return state.Accused
	}
	before := make([][]int, 4)
	seen := false
	for _, id := range []int{0, 1, 3} {
		before[id] = accused(id)
		seen = seen || slices.Equal(before[id], []int{2})
	}
	if !seen {
		t.Fatalf("I6: an equivocator is on nobody's record: %v", before)
	}
	c.stop(0, 1, 2, 3)
	for _, dir := range c.dirs {
		torn := filepath.Join(dir, dirEvidence, fileName(wire.Digest{1}))
		if err := os.WriteFile(torn, []byte("TGE"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.start(0, 1, 2, 3)
	s.put("after", "restart")
	for _, id := range []int{0, 1, 3} {
		if after := accused(id); !slices.Equal(after, before[id]) {
			t.Errorf("node %d accused %v, after a restart %v", id, before[id], after)
		}
	}
}

// court is a group whose keys are known, and a file system that crashes.
type court struct {
	cfg     *pbft.Config
	signers []auth.Signer
	fsys    *storage.CrashFS
}

func newCourt() *court {
	c := &court{cfg: &pbft.Config{Params: pbft.Defaults()}, fsys: storage.NewCrashFS(rand.New(rand.NewPCG(1, 2)).IntN)}
	for id := range 4 {
		s := auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(id + 1)}, 32)))
		c.signers = append(c.signers, s)
		c.cfg.Members = append(c.cfg.Members, s.Public())
	}
	return c
}

// twice is evidence of two prepares of one replica for a slot.
func (c *court) twice(culprit, signer int, seq uint64) *pbft.Evidence {
	var frames []*wire.Frame
	for digest := range 2 {
		w := wire.Writer{}
		w.U64(0)
		w.U64(seq)
		w.Raw(append([]byte{byte(digest)}, make([]byte, 31)...))
		h := wire.Header{Kind: uint8(pbft.KindPrepare), Cluster: c.cfg.Cluster, Author: uint16(culprit)}
		frames = append(frames, wire.EncodeSigned(h, w.B, c.signers[signer].Sign))
	}
	slices.SortFunc(frames, func(a, b *wire.Frame) int {
		x, y := a.Digest(), b.Digest()
		return bytes.Compare(x[:], y[:])
	})
	return &pbft.Evidence{Charge: pbft.ChargeEquivocation, Culprit: culprit, Frames: frames}
}

func (c *court) open(t *testing.T) (*filer, []*pbft.Evidence) {
	t.Helper()
	f, known, err := openFiler(c.fsys, "node-0", pbft.NewOpener(c.cfg, auth.Ed25519{}), c.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f, known
}

// TestOnlyWhatHoldsIsRead: files that are torn, renamed, forged, or too many are
// removed at a start; the others are there, also after a power loss.
func TestOnlyWhatHoldsIsRead(t *testing.T) {
	c := newCourt()
	f, known := c.open(t)
	if len(known) != 0 {
		t.Fatal("an empty folder holds evidence")
	}
	good := c.twice(2, 2, 5)
	f.record(good, nil)
	f.record(pbft.Junk(3, good.Frames[0]), nil)
	f.close()
	c.fsys = c.fsys.Crash()
	files, err := storage.OpenFiles(c.fsys, filepath.Join("node-0", dirEvidence))
	if err != nil {
		t.Fatal(err)
	}
	forged := c.twice(1, 3, 5)
	bad := map[string][]byte{
		"hello":                      []byte("world"),
		fileName(wire.Digest{1}):     good.Encode(),
		fileName(wire.Digest{2}):     good.Encode()[:100],
		fileName(forged.ID()):        forged.Encode(),
		fileName(wire.Digest{3}):     make([]byte, pbft.MaxEvidence+1),
		fileName(wire.Digest{4}):     nil,
		fileName(good.ID()) + ".tmp": []byte("half"),
	}
	for name, data := range bad {
		if err := files.Write(name, data); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range uint64(20) { // more of one charge than are kept
		e := c.twice(1, 1, seq+1)
		if err := files.Write(fileName(e.ID()), e.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	f, known = c.open(t)
	f.close()
	count := map[int]int{}
	for _, e := range known {
		count[e.Culprit]++
	}
	left := 0
	if err := files.Each(1, func(name string, _ []byte) {
		left++
		if _, is := bad[name]; is {
			t.Errorf("%s is still there", name)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if count[1] != 8 || count[2] != 1 || count[3] != 1 || len(known) != left {
		t.Errorf("known by accused %v, files %d", count, left)
	}
}

// TestFilingBlocksNobody: a disk that stands still holds up no vote.
func TestFilingBlocksNobody(t *testing.T) {
	c := newCourt()
	f, _ := c.open(t)
	f.close()
	stuck := &filer{files: f.files, log: f.log, jobs: make(chan filing, filings)} // nobody writes
	for seq := range uint64(2 * filings) {
		stuck.record(c.twice(1, 1, seq+1), nil)
	}
	if len(stuck.jobs) != filings {
		t.Errorf("%d of %d wait", len(stuck.jobs), 2*filings)
	}
}
