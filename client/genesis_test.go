package client

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// testKey is the i-th key of tests.
func testKey(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
}

func publicHex(i int) string {
	return hex.EncodeToString(testKey(i).Public().(ed25519.PublicKey))
}

func testGenesis(n int) *Genesis {
	g := &Genesis{Format: 1, Name: "täst & <co>", Created: "2026-11-24T10:00:00Z", Protocol: 1,
		Clients: []string{publicHex(100)}, Params: NewGenesisParams(pbft.Defaults())}
	for i := range n {
		g.Nodes = append(g.Nodes, GenesisNode{ID: i, Key: publicHex(i), Address: fmt.Sprintf("127.0.0.1:%d", 7400+i), Zone: "z"})
	}
	return g
}

func TestGenesisRoundTrip(t *testing.T) {
	for _, n := range []int{1, 4, 7, 64} {
		g := testGenesis(n)
		path := filepath.Join(t.TempDir(), GenesisFile)
		if err := os.WriteFile(path, g.Encode(), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadGenesis(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Encode(), g.Encode()) || got.ID() != g.ID() {
			t.Error("another genesis after reading")
		}
		cfg, err := got.Config()
		if err != nil || len(cfg.Members) != n || cfg.Cluster != g.ID() || cfg.Params != pbft.Defaults() {
			t.Errorf("config %+v, %v", cfg, err)
		}
		principals, err := got.Principals()
		if err != nil || len(principals) != 1 {
			t.Errorf("principals %v, %v", principals, err)
		}
	}
}

func TestGenesisText(t *testing.T) {
	text := string(testGenesis(1).Encode())
	for _, part := range []string{"{\n  \"format\": 1,\n  \"name\": \"täst & <co>\",\n", "  \"clients\": [\n", "  \"operators\": [],\n", "\"view_timeout_ticks\": 50,\n", "  }\n}\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// TestGenesisNotCanonical changes the bytes and not the meaning: the identity
// would be another.
func TestGenesisNotCanonical(t *testing.T) {
	text := string(testGenesis(4).Encode())
	for name, edited := range map[string]string{
		"a blank at the end":   text + " ",
		"no newline at end":    strings.TrimSuffix(text, "\n"),
		"tabs":                 strings.ReplaceAll(text, "  ", "\t"),
		"an escape":            strings.ReplaceAll(text, "&", `\u0026`),
		"null for empty":       strings.Replace(text, "\"operators\": []", "\"operators\": null", 1),
		"a field twice":        strings.Replace(text, "  \"demo\": false,\n", "  \"demo\": false,\n  \"demo\": false,\n", 1),
		"another order":        strings.Replace(strings.Replace(text, "  \"demo\": false,\n", "", 1), "  \"protocol\": 1,\n", "  \"protocol\": 1,\n  \"demo\": false,\n", 1),
		"upper-case field":     strings.Replace(text, `"name"`, `"Name"`, 1),
		"Windows line ends":    strings.ReplaceAll(text, "\n", "\r\n"),
		"a number as exponent": strings.Replace(text, `"window_slots": 32`, `"window_slots": 3.2e1`, 1),
	} {
		if edited == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := DecodeGenesis([]byte(edited)); err == nil || !strings.Contains(err.Error(), "canonical") && !strings.Contains(err.Error(), "not a genesis file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// damages are changes that make a genesis one to refuse, by words of the error.
var damages = map[string]func(*Genesis){
	"genesis format 2 is unknown":          func(g *Genesis) { g.Format = 2 },
	"protocol version 2 is unknown":        func(g *Genesis) { g.Protocol = 2 },
	"name has 0 characters":                func(g *Genesis) { g.Name = "" },
	"does not print":                       func(g *Genesis) { g.Name = "a\nb" },
	"created":                              func(g *Genesis) { g.Created = "yesterday" },
	"1 to 64 nodes, not 0":                 func(g *Genesis) { g.Nodes = nil },
	"stands at place 1":                    func(g *Genesis) { g.Nodes[1].ID = 2 },
	"has the key of node 0":                func(g *Genesis) { g.Nodes[1].Key = g.Nodes[0].Key },
	"client 0 has the key of node 0":       func(g *Genesis) { g.Clients[0] = g.Nodes[0].Key },
	"have one address":                     func(g *Genesis) { g.Nodes[1].Address = g.Nodes[0].Address },
	"is not host:port":                     func(g *Genesis) { g.Nodes[1].Address = "localhost" },
	"with a port from 1 to 65535":          func(g *Genesis) { g.Nodes[1].Address = "localhost:0" },
	"neither a name nor an IP address":     func(g *Genesis) { g.Nodes[1].Address = "[a:b:c]:7400" },
	"address \"a\\x1b":                     func(g *Genesis) { g.Nodes[1].Address = "a\x1b[2K:7400" },
	"small order":                          func(g *Genesis) { g.Nodes[1].Key = strings.Repeat("00", 32) },
	"not in canonical form":                func(g *Genesis) { g.Nodes[1].Key = "ed" + strings.Repeat("ff", 30) + "7f" },
	"in lower-case hexadecimal":            func(g *Genesis) { g.Nodes[1].Key = strings.ToUpper(g.Nodes[1].Key) },
	"operator 0: key":                      func(g *Genesis) { g.Operators = []string{"x"} },
	"tick_ms is 5":                         func(g *Genesis) { g.Params.TickMillis = 5 },
	"log_slots is 511, allowed are 512 to": func(g *Genesis) { g.Params.LogSlots = 511 },
	"window_slots is 0":                    func(g *Genesis) { g.Params.WindowSlots = 0 },
}

func TestGenesisRefusals(t *testing.T) {
	for want, change := range damages {
		g := testGenesis(4)
		change(g)
		_, err := DecodeGenesis(g.Encode())
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Cause, want) || e.Next == "" {
			t.Errorf("%v, want %q and a next step", err, want)
		}
		if _, err := g.Config(); err == nil {
			t.Errorf("Config accepts: %s", want)
		}
	}
	if _, err := DecodeGenesis([]byte("no JSON")); err == nil {
		t.Error("accepted")
	}
}

// FuzzGenesis: whatever is accepted is canonical and usable.
func FuzzGenesis(f *testing.F) {
	f.Add(testGenesis(1).Encode())
	f.Add(testGenesis(4).Encode())
	for _, change := range damages {
		g := testGenesis(4)
		change(g)
		f.Add(g.Encode())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := DecodeGenesis(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(g.Encode(), raw) {
			t.Error("accepted, and not canonical")
		}
		if _, err := g.Config(); err != nil {
			t.Error(err)
		}
	})
}

// certificate appends n frames of one kind, each by another author.
func certificate(w *wire.Writer, cfg *pbft.Config, kind pbft.Kind, first, n int, body []byte) {
	w.U16(uint16(n))
	for i := range n {
		w.Bytes(signedFrame(cfg, kind, first+i, body).Raw())
	}
}

func signedFrame(cfg *pbft.Config, kind pbft.Kind, author int, body []byte) *wire.Frame {
	return wire.EncodeSigned(wire.Header{Kind: uint8(kind), Cluster: cfg.Cluster, Author: uint16(author)}, body,
		func([]byte) []byte { return make([]byte, wire.SignatureSize) })
}

// TestViewChangeFitsAFrame: with the most slots that a genesis may name, the
// largest view-change is a frame, and with one more it would be none, unless
// the protocol's own bound is lower.
func TestViewChangeFitsAFrame(t *testing.T) {
	for _, n := range []int{1, 4, 7, 10, 31, 64} {
		g := testGenesis(n)
		g.Params.LogSlots = maxLogSlots(quorum.Size(n))
		cfg, err := g.Config()
		if err != nil {
			t.Fatalf("n = %d, %d slots: %v", n, g.Params.LogSlots, err)
		}
		q := cfg.Size().Quorum()
		var w wire.Writer
		w.U64(1)
		var stable wire.Writer
		stable.U64(1)
		stable.Raw(make([]byte, 72))
		certificate(&w, cfg, pbft.KindCheckpoint, 0, q, stable.B)
		w.U16(uint16(g.Params.LogSlots))
		one := 0 // bytes of a slot
		for seq := range g.Params.LogSlots {
			var v, slot wire.Writer
			v.U64(0)
			v.U64(uint64(seq + 2))
			v.Raw(make([]byte, 32))
			slot.Bytes(signedFrame(cfg, pbft.KindPrePrepare, 0, v.B).Raw())
			certificate(&slot, cfg, pbft.KindPrepare, 1, q-1, v.B)
			w.Raw(slot.B)
			one = len(slot.B)
		}
		size := wire.SignedOverhead + len(w.B)
		if size > wire.MaxFrame || size+one <= wire.MaxFrame && g.Params.LogSlots < pbft.MaxSlots {
			t.Errorf("n = %d, %d slots: a view-change of %d bytes, a slot has %d", n, g.Params.LogSlots, size, one)
			continue
		}
		if _, err := pbft.Decode(cfg, signedFrame(cfg, pbft.KindViewChange, 0, w.B)); err != nil {
			t.Errorf("n = %d: what was measured is no view-change: %v", n, err)
		}
		if g.Params.LogSlots++; g.Params.check(cfg.Size()) == nil {
			t.Errorf("n = %d: %d slots are accepted", n, g.Params.LogSlots)
		}
	}
}

// TestBatchFitsALogRecord: the largest batch that a genesis may name, with as
// many digests as a batch can have, is a record of the node's log.
func TestBatchFitsALogRecord(t *testing.T) {
	if maxLogRecord != storage.MaxRecord {
		t.Fatalf("a log record has %d bytes, not %d", storage.MaxRecord, maxLogRecord)
	}
	g := testGenesis(4)
	g.Params.BatchBytes = maxLogRecord - batchFrame
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	var b, w wire.Writer
	b.I64(0)
	b.U16(pbft.MaxBatch)
	b.Raw(make([]byte, 32*pbft.MaxBatch))
	w.Raw(make([]byte, 1+8+8)) // kind, group and epoch
	w.Bytes(wire.Encode(wire.Header{Kind: uint8(pbft.KindBatch), Cluster: g.ID(), Author: wire.NoAuthor}, b.B).Raw())
	w.U16(pbft.MaxBatch)
	w.Raw(make([]byte, 4*pbft.MaxBatch+g.Params.BatchBytes)) // lengths and requests
	if len(w.B) > storage.MaxRecord {
		t.Errorf("a record of %d bytes, allowed are %d", len(w.B), storage.MaxRecord)
	}
	g.Params.BatchBytes = storage.MaxRecord
	if err := g.check(); err == nil || !strings.Contains(err.Error(), "batch_bytes") {
		t.Errorf("batches as large as a record: %v", err)
	}
}
