package node

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/storage"
)

// formatVersion is the version of a node folder's layout.
const formatVersion = 1

// Names in a node folder.
const (
	fileFormat  = "FORMAT"
	fileKey     = "key.pem"
	fileGenesis = "genesis.json"
	dirLog      = "log"
	dirRows     = "rows"
)

// recordGenesis is the kind of the node's own log record: the first of a log,
// carried over every cut. It holds the cluster id.
const recordGenesis = 0xff

func genesisRecord(g *client.Genesis) []byte {
	id := g.ID()
	return append([]byte{recordGenesis}, id[:]...)
}

func formatText(g *client.Genesis, id int) []byte {
	cluster := g.ID()
	return fmt.Appendf(nil, "tagma %d\ncluster %x\nnode %d\n", formatVersion, cluster[:], id)
}

// Create writes a node folder: who it is, whom it trusts, and a log with its
// genesis record. Only a fresh key may get one: the record is the promise
// that the key has never voted before.
func Create(dir string, g *client.Genesis, id int, key ed25519.PrivateKey) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, fileFormat)); err == nil {
		return client.Refuse("choose another folder", "%s holds a node already", dir)
	}
	if err := client.WriteKey(filepath.Join(dir, fileKey), key); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, fileGenesis), g.Encode(), 0o644); err != nil {
		return err
	}
	log, err := storage.OpenLog(storage.LogOptions{Dir: filepath.Join(dir, dirLog)}, true, nil)
	if err != nil {
		return err
	}
	log.Append(genesisRecord(g))
	if _, err := log.Sync(); err != nil {
		return errors.Join(err, log.Close(false))
	}
	if err := log.Close(false); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fileFormat), formatText(g, id), 0o644)
}

// folder is an opened node folder.
type folder struct {
	dir     string
	id      int
	genesis *client.Genesis
	key     ed25519.PrivateKey
}

// ownFiles is what to do about a folder with files of another.
const ownFiles = "restore the folder's own files"

// openFolder reads and checks everything that says whose folder this is.
func openFolder(dir string) (*folder, error) {
	text, err := os.ReadFile(filepath.Join(dir, fileFormat))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, client.Refuse("make one with: tagma init --dir D --nodes N", "%s is not a node folder: it has no %s file", dir, fileFormat)
	}
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir}
	var version int
	var cluster string
	if _, err := fmt.Sscanf(string(text), "tagma %d\ncluster %s\nnode %d\n", &version, &cluster, &f.id); err != nil {
		return nil, client.Refuse(ownFiles, "%s/%s is damaged", dir, fileFormat)
	}
	if version != formatVersion {
		return nil, client.Refuse("use the release that wrote it", "%s has format %d, this build knows format %d", dir, version, formatVersion)
	}
	if f.genesis, err = client.ReadGenesis(filepath.Join(dir, fileGenesis)); err != nil {
		return nil, err
	}
	if !bytes.Equal(text, formatText(f.genesis, f.id)) {
		return nil, client.Refuse(ownFiles, "%s: %s and %s are of different clusters or nodes: the folder was mixed up", dir, fileFormat, fileGenesis)
	}
	if f.id < 0 || f.id >= len(f.genesis.Nodes) {
		return nil, client.Refuse(ownFiles, "%s: %s names node %d, and the genesis has no such node", dir, fileFormat, f.id)
	}
	if f.key, err = client.ReadKey(filepath.Join(dir, fileKey)); err != nil {
		return nil, err
	}
	if public := fmt.Sprintf("%x", []byte(f.key.Public().(ed25519.PublicKey))); public != f.genesis.Nodes[f.id].Key {
		return nil, client.Refuse("restore the right key", "%s/%s is not the key that the genesis names for node %d", dir, fileKey, f.id)
	}
	return f, nil
}

// ErrAmnesia says that this key has voted and its log no longer tells how.
var ErrAmnesia = client.Refuse("leave it off: the others go on without it, and replacing it by a new member is not built yet",
	"this replica has lost its memory and must not vote again under its key")

// openLog opens the log and hands every record of a host to replay.
func (f *folder) openLog(replay func(record []byte) error) (log *storage.Log, fresh bool, err error) {
	records, genesis := 0, genesisRecord(f.genesis)
	log, err = storage.OpenLog(storage.LogOptions{Dir: filepath.Join(f.dir, dirLog)}, false, func(_ uint64, record []byte) error {
		records++
		if records == 1 {
			if !bytes.Equal(record, genesis) {
				return client.Refuse("restore this node's own log", "the log in %s is of another cluster", f.dir)
			}
			return nil
		}
		return replay(record)
	})
	if errors.Is(err, storage.ErrNoLog) || errors.Is(err, storage.ErrCorrupt) {
		return nil, false, fmt.Errorf("%s: %w: %w", f.dir, err, ErrAmnesia)
	}
	if err != nil {
		return nil, false, err
	}
	if records == 0 {
		return nil, false, errors.Join(fmt.Errorf("%s: the log has no genesis record: %w", f.dir, ErrAmnesia), log.Close(false))
	}
	return log, records == 1, nil
}
