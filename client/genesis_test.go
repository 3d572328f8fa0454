package client

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/pbft"
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

func TestGenesisRefusals(t *testing.T) {
	for want, change := range map[string]func(*Genesis){
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
		"small order":                          func(g *Genesis) { g.Nodes[1].Key = strings.Repeat("00", 32) },
		"not in canonical form":                func(g *Genesis) { g.Nodes[1].Key = "ed" + strings.Repeat("ff", 30) + "7f" },
		"in lower-case hexadecimal":            func(g *Genesis) { g.Nodes[1].Key = strings.ToUpper(g.Nodes[1].Key) },
		"operator 0: key":                      func(g *Genesis) { g.Operators = []string{"x"} },
		"tick_ms is 5":                         func(g *Genesis) { g.Params.TickMillis = 5 },
		"log_slots is 511, allowed are 512 to": func(g *Genesis) { g.Params.LogSlots = 511 },
		"window_slots is 0":                    func(g *Genesis) { g.Params.WindowSlots = 0 },
	} {
		g := testGenesis(4)
		change(g)
		_, err := DecodeGenesis(g.Encode())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
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
