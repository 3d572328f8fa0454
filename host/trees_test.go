package host

import (
	"fmt"
	"testing"

	"github.com/tagma-db/tagma/merkle"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// TestOneOrderOneRoot: neither when the trees are saved, nor restarts, nor
// checkpoints of other slots change a root [I4].
func TestOneOrderOneRoot(t *testing.T) {
	const slots = 150 // and as many results, so that nodes are cut
	run := func(journal, restart, quiet int) (roots [slots]wire.Digest) {
		l := newLone(t)
		l.cfg.Params.Interval, l.cfg.Params.Log, l.cfg.Params.Window = 4, 8, 4
		l.journal = journal
		l.open(true)
		for i := range slots {
			l.ask(l.request(byte(i%3), uint64(i/3+1), 0, fmt.Sprint(i)))
			if i%quiet == 0 || i%8 == 7 {
				roots[i] = l.root()
			}
			if i%restart == restart-1 {
				l.open(false)
			}
		}
		if saved := l.host.savedAt > 0; saved != (journal == 1) {
			t.Fatalf("saved at %d with a journal of %d", l.host.savedAt, journal)
		}
		return roots
	}
	want := run(1<<30, slots+1, 1)
	for _, c := range [][3]int{{1, slots + 1, 1}, {1, 3, 5}, {1 << 30, 3, 7}, {1, 1, 2}} {
		for i, root := range run(c[0], c[1], c[2]) {
			if root != (wire.Digest{}) && root != want[i] {
				t.Fatalf("journal %d, a restart every %d, a root every %d: another root after slot %d", c[0], c[1], c[2], i+1)
			}
		}
	}
}

func TestRowKeysFit(t *testing.T) {
	if pbft.MaxRowKey != merkle.MaxKey {
		t.Fatalf("a fetch takes keys of %d bytes, a tree of %d", pbft.MaxRowKey, merkle.MaxKey)
	}
}
