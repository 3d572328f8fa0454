package node

import (
	"encoding/hex"
	"log/slog"
	"path/filepath"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// dirEvidence holds one file an item, named by its id.
const dirEvidence = "evidence"

// filings bounds the items that wait for the disk; what comes above is kept in
// memory only.
const filings = 64

// filer writes evidence beside the loop, so that no vote waits for it. Nor does
// a start depend on it: what is damaged is removed, what is lost is lost.
type filer struct {
	files *storage.Files
	log   *slog.Logger
	jobs  chan filing // capacity filings
	done  chan struct{}
}

// filing is an item to write, and those that made room for it.
type filing struct {
	item    *pbft.Evidence
	dropped []wire.Digest
}

// openFiler opens the folder and returns what is in it and holds, at most what a
// Book takes. It removes the rest.
func openFiler(fsys storage.FS, dir string, opener *pbft.Opener, cfg *pbft.Config, log *slog.Logger) (*filer, []*pbft.Evidence, error) {
	files, err := storage.OpenFiles(fsys, filepath.Join(dir, dirEvidence))
	if err != nil {
		return nil, nil, err
	}
	f := &filer{files: files, log: log, jobs: make(chan filing, filings), done: make(chan struct{})}
	var known []*pbft.Evidence
	book := pbft.NewBook(cfg)
	err = files.Each(pbft.MaxEvidence+1, func(name string, data []byte) {
		e, err := pbft.DecodeEvidence(data)
		if err == nil && e.Charge.Signed() {
			err = opener.Verify(e)
		}
		if err != nil || fileName(e.ID()) != name || !book.Wants(e) {
			log.Warn("removed a file that is no evidence", "file", name, "error", err)
			f.remove(name)
			return
		}
		for _, d := range book.Add(e) {
			f.remove(fileName(d))
		}
		known = append(known, e)
	})
	if err != nil {
		return nil, nil, err
	}
	go f.run()
	return f, known, nil
}

// openEvidence is what was recorded before, and where new items go. A folder
// that does not open costs the items that are in it, and nothing else.
func (n *Node) openEvidence(v auth.Verifier) (record func(*pbft.Evidence, []wire.Digest), known []*pbft.Evidence) {
	f, known, err := openFiler(storage.Disk(), n.o.Dir, pbft.NewOpener(n.cfg, v), n.cfg, n.o.Log)
	if err != nil {
		n.o.Log.Warn("evidence is kept in memory only", "error", err)
		return nil, nil
	}
	n.filer = f
	return f.record, known
}

func fileName(id wire.Digest) string { return hex.EncodeToString(id[:]) }

// record takes an item that was filed, and does not block.
func (f *filer) record(e *pbft.Evidence, dropped []wire.Digest) {
	select {
	case f.jobs <- filing{e, dropped}:
	default:
		f.log.Warn("evidence is kept in memory only: the disk is slow", "replica", e.Culprit, "charge", e.Charge.String())
	}
}

func (f *filer) run() {
	defer close(f.done)
	for job := range f.jobs {
		for _, d := range job.dropped {
			f.remove(fileName(d))
		}
		if err := f.files.Write(fileName(job.item.ID()), job.item.Encode()); err != nil {
			f.log.Warn("evidence is kept in memory only", "error", err)
		}
	}
}

func (f *filer) remove(name string) {
	if err := f.files.Remove(name); err != nil {
		f.log.Warn("cannot remove evidence", "error", err)
	}
}

// close ends the filer once all that was recorded is written.
func (f *filer) close() {
	close(f.jobs)
	<-f.done
}
