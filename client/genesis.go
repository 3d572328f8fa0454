package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/wire"
)

// What this build writes and understands of genesis files.
const (
	GenesisFormat   = 1
	ProtocolVersion = 1
	TickMillis      = 10 // milliseconds of a tick
	GenesisFile     = "genesis.json"
	KeyFile         = "key.pem"

	maxGenesis    = 1 << 20 // bytes of a genesis file
	maxPrincipals = 4096    // clients, and operators, of a genesis
)

// Sizes, in bytes, that bound the parameters.
const (
	maxLogRecord = 16 << 20                     // storage.MaxRecord, which this package does not import
	vote         = 4 + wire.SignedOverhead + 48 // in a certificate: its length, and a frame with view, slot and digest
	checkpoint   = 4 + wire.SignedOverhead + 80 // likewise: slot, time, root and mark
	// batchFrame is what the record of a batch holds beside the requests: the
	// record's tag, the batch with all its digests, and the requests' lengths.
	batchFrame = 17 + 4 + wire.Overhead + 8 + 2 + 32*pbft.MaxBatch + 2 + 4*pbft.MaxBatch
)

// maxLogSlots is the most slots of which one view-change can carry prepared
// certificates, each a pre-prepare and q−1 prepares, beside a stable one.
func maxLogSlots(n quorum.Size) int {
	q := n.Quorum()
	fixed := wire.SignedOverhead + 8 + 2 + q*checkpoint + 2
	return min((wire.MaxFrame-fixed)/(q*vote+2), pbft.MaxSlots)
}

// Genesis is genesis.json: who the members of a cluster are and what they
// agree on before the first message. The cluster's identity is the SHA-256 of
// the file's bytes, so there is one way to write it: these fields in this
// order, indented by two spaces, one newline at the end.
type Genesis struct {
	Format    int           `json:"format"`
	Name      string        `json:"name"`      // for people: 1 to 64 printable characters
	Created   string        `json:"created"`   // RFC 3339
	Demo      bool          `json:"demo"`      // nodes may be told to misbehave
	Protocol  int           `json:"protocol"`  // version of the protocol
	Nodes     []GenesisNode `json:"nodes"`     // by id, 1 to 64
	Clients   []string      `json:"clients"`   // public keys, hex: may use every keyspace
	Operators []string      `json:"operators"` // public keys, hex: may change the cluster
	Params    GenesisParams `json:"params"`
}

// GenesisNode is one member.
type GenesisNode struct {
	ID      int    `json:"id"`      // its index in Nodes
	Key     string `json:"key"`     // public key, hex
	Address string `json:"address"` // host:port
	Zone    string `json:"zone"`    // where it stands; may be empty
}

// GenesisParams are pbft.Params with their units, all explicit: a later build
// with other defaults runs an old cluster as it was made.
type GenesisParams struct {
	TickMillis       int   `json:"tick_ms"`
	WindowSlots      int   `json:"window_slots"`
	IntervalSlots    int   `json:"checkpoint_interval_slots"`
	LogSlots         int   `json:"log_slots"`
	IntervalBytes    int   `json:"checkpoint_interval_bytes"`
	BatchBytes       int   `json:"batch_bytes"`
	BatchRequests    int   `json:"batch_requests"`
	ViewTimeoutTicks int   `json:"view_timeout_ticks"`
	ViewMaxTicks     int   `json:"view_timeout_max_ticks"`
	QuietTicks       int   `json:"quiet_ticks"`
	StatusMinTicks   int   `json:"status_min_ticks"`
	StatusMaxTicks   int   `json:"status_max_ticks"`
	TimeBoundMillis  int64 `json:"time_bound_ms"`
	PendingRequests  int   `json:"pending_requests"`
	PendingBytes     int   `json:"pending_bytes"`
	ClientRequests   int   `json:"client_pending_requests"`
	ClientBytes      int   `json:"client_pending_bytes"`
}

// NewGenesisParams writes protocol parameters with their units.
func NewGenesisParams(p pbft.Params) GenesisParams {
	return GenesisParams{
		TickMillis: TickMillis, WindowSlots: int(p.Window), IntervalSlots: int(p.Interval), LogSlots: int(p.Log),
		IntervalBytes: p.IntervalSize, BatchBytes: p.BatchSize, BatchRequests: p.BatchCount,
		ViewTimeoutTicks: int(p.ViewTimeout), ViewMaxTicks: int(p.ViewMax), QuietTicks: int(p.Quiet),
		StatusMinTicks: int(p.StatusMin), StatusMaxTicks: int(p.StatusMax), TimeBoundMillis: p.TimeBound,
		PendingRequests: p.PendingCount, PendingBytes: p.PendingSize, ClientRequests: p.ClientCount, ClientBytes: p.ClientSize,
	}
}

// Params are the protocol's parameters.
func (p GenesisParams) Params() pbft.Params {
	return pbft.Params{
		Window: pbft.Seq(p.WindowSlots), Interval: pbft.Seq(p.IntervalSlots), Log: pbft.Seq(p.LogSlots),
		IntervalSize: p.IntervalBytes, BatchSize: p.BatchBytes, BatchCount: p.BatchRequests,
		ViewTimeout: pbft.Ticks(p.ViewTimeoutTicks), ViewMax: pbft.Ticks(p.ViewMaxTicks), Quiet: pbft.Ticks(p.QuietTicks),
		StatusMin: pbft.Ticks(p.StatusMinTicks), StatusMax: pbft.Ticks(p.StatusMaxTicks), TimeBound: p.TimeBoundMillis,
		PendingCount: p.PendingRequests, PendingSize: p.PendingBytes, ClientCount: p.ClientRequests, ClientSize: p.ClientBytes,
	}
}

// check refuses parameters with which n replicas could not run.
func (p GenesisParams) check(n quorum.Size) error {
	type bound struct {
		name     string
		got      int64
		min, max int64
	}
	const large = 1 << 30
	for _, b := range []bound{
		{"tick_ms", int64(p.TickMillis), TickMillis, TickMillis},
		{"window_slots", int64(p.WindowSlots), 1, int64(p.IntervalSlots)},
		{"checkpoint_interval_slots", int64(p.IntervalSlots), 1, pbft.MaxSlots / 2},
		{"log_slots", int64(p.LogSlots), 2 * int64(p.IntervalSlots), int64(maxLogSlots(n))},
		{"checkpoint_interval_bytes", int64(p.IntervalBytes), pbft.MaxRequest, large},
		{"batch_bytes", int64(p.BatchBytes), 1, maxLogRecord - batchFrame},
		{"batch_requests", int64(p.BatchRequests), 1, pbft.MaxBatch},
		{"view_timeout_ticks", int64(p.ViewTimeoutTicks), 2, large},
		{"view_timeout_max_ticks", int64(p.ViewMaxTicks), int64(p.ViewTimeoutTicks), large},
		{"quiet_ticks", int64(p.QuietTicks), 1, large},
		{"status_min_ticks", int64(p.StatusMinTicks), 1, large},
		{"status_max_ticks", int64(p.StatusMaxTicks), int64(p.StatusMinTicks), large},
		{"time_bound_ms", p.TimeBoundMillis, 1, large},
		{"pending_requests", int64(p.PendingRequests), 1, large},
		{"pending_bytes", int64(p.PendingBytes), pbft.MaxRequest, large},
		{"client_pending_requests", int64(p.ClientRequests), 1, large},
		{"client_pending_bytes", int64(p.ClientBytes), pbft.MaxRequest, large},
	} {
		if b.got < b.min || b.got > b.max {
			return fmt.Errorf("params: %s is %d, allowed are %d to %d", b.name, b.got, b.min, b.max)
		}
	}
	return nil
}

// ReadGenesis reads and checks a genesis file. It refuses one whose bytes are
// not what Encode writes, because the identity would not be that of the content.
func ReadGenesis(path string) (*Genesis, error) {
	raw, err := readBounded(path, maxGenesis)
	if err != nil {
		return nil, err
	}
	g, err := DecodeGenesis(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = Refuse("restore the file from where it was made", "%s: larger than %d bytes", path, limit)
	}
	return raw, err
}

// copyGenesis is what to do about a genesis that was changed.
const copyGenesis = "copy genesis.json again from a node or from the client folder"

// DecodeGenesis is ReadGenesis of the file's bytes.
func DecodeGenesis(raw []byte) (*Genesis, error) {
	var version struct {
		Format   int `json:"format"`
		Protocol int `json:"protocol"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, Refuse(copyGenesis, "not a genesis file: %w", err)
	}
	if version.Format != GenesisFormat {
		return nil, Refuse("use the build that made it", "genesis format %d is unknown to this build, which reads format %d", version.Format, GenesisFormat)
	}
	if version.Protocol != ProtocolVersion {
		return nil, Refuse("use the build that the cluster runs", "protocol version %d is unknown to this build, which speaks version %d", version.Protocol, ProtocolVersion)
	}
	g := &Genesis{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(g); err != nil {
		return nil, Refuse(copyGenesis, "not a genesis file: %w", err)
	}
	if !bytes.Equal(g.Encode(), raw) {
		return nil, Refuse(copyGenesis, "not in canonical form: the file was edited or re-formatted, and its bytes are the cluster's identity")
	}
	if err := g.check(); err != nil {
		return nil, Refuse(copyGenesis, "%w", err)
	}
	return g, nil
}

// Encode is the file's content.
func (g *Genesis) Encode() []byte {
	c := *g
	c.Nodes = orEmpty(c.Nodes)
	c.Clients = orEmpty(c.Clients)
	c.Operators = orEmpty(c.Operators)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(&c); err != nil {
		panic("client: a genesis does not encode: " + err.Error())
	}
	return out.Bytes()
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// ID is the cluster's identity.
func (g *Genesis) ID() wire.Digest { return sha256.Sum256(g.Encode()) }

// check refuses a genesis with which no cluster can run.
func (g *Genesis) check() error {
	if g.Format != GenesisFormat || g.Protocol != ProtocolVersion {
		return fmt.Errorf("format and protocol version are %d and %d, not %d and %d", g.Format, g.Protocol, GenesisFormat, ProtocolVersion)
	}
	if n := len([]rune(g.Name)); n < 1 || n > 64 {
		return fmt.Errorf("name has %d characters, allowed are 1 to 64", n)
	}
	for _, r := range g.Name {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return fmt.Errorf("name %q has a character that does not print", g.Name)
		}
	}
	if _, err := time.Parse(time.RFC3339, g.Created); err != nil {
		return fmt.Errorf("created: %w", err)
	}
	if !quorum.Size(len(g.Nodes)).Valid() {
		return fmt.Errorf("a group has 1 to %d nodes, not %d", quorum.MaxN, len(g.Nodes))
	}
	if len(g.Clients) > maxPrincipals || len(g.Operators) > maxPrincipals {
		return fmt.Errorf("more than %d clients or operators", maxPrincipals)
	}
	if err := g.checkKeys(); err != nil {
		return err
	}
	return g.Params.check(quorum.Size(len(g.Nodes)))
}

func (g *Genesis) checkKeys() error {
	keys, addresses := map[auth.PublicKey]string{}, map[string]int{}
	add := func(role, text string) error {
		key, err := ParseKey(text)
		if err != nil {
			return fmt.Errorf("%s: %w", role, err)
		}
		if other, twice := keys[key]; twice {
			return fmt.Errorf("%s has the key of %s", role, other)
		}
		keys[key] = role
		return nil
	}
	for i, n := range g.Nodes {
		if n.ID != i {
			return fmt.Errorf("node %d stands at place %d: nodes are listed by id, from 0", n.ID, i)
		}
		if err := add(fmt.Sprintf("node %d", i), n.Key); err != nil {
			return err
		}
		if err := checkAddress(n.Address); err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
		if other, twice := addresses[n.Address]; twice {
			return fmt.Errorf("nodes %d and %d have one address, %s", other, i, n.Address)
		}
		addresses[n.Address] = i
	}
	for i, k := range g.Clients {
		if err := add(fmt.Sprintf("client %d", i), k); err != nil {
			return err
		}
	}
	for i, k := range g.Operators {
		if err := add(fmt.Sprintf("operator %d", i), k); err != nil {
			return err
		}
	}
	return nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return fmt.Errorf("address %q is not host:port with a port from 1 to 65535", address)
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.ContainsFunc(host, func(r rune) bool { return strings.ContainsRune(": /", r) || !unicode.IsPrint(r) }) {
		return fmt.Errorf("address %q has a host that is neither a name nor an IP address", address)
	}
	return nil
}

// ParseKey reads a public key in lower-case hexadecimal and refuses those that
// must not be registered (auth.CheckKey).
func ParseKey(text string) (key auth.PublicKey, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(key) || hex.EncodeToString(raw) != text {
		return key, fmt.Errorf("key %q is not %d bytes in lower-case hexadecimal", text, len(key))
	}
	copy(key[:], raw)
	return key, auth.CheckKey(key)
}

// Config is the configuration of the cluster's one group, and the check of the
// whole genesis.
func (g *Genesis) Config() (*pbft.Config, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	c := &pbft.Config{Cluster: g.ID(), Params: g.Params.Params()}
	for _, n := range g.Nodes {
		key, err := ParseKey(n.Key)
		if err != nil {
			return nil, err
		}
		c.Members = append(c.Members, key)
	}
	return c, nil
}

// Principals are the keys of the clients, who may use every keyspace.
func (g *Genesis) Principals() (map[auth.PublicKey]bool, error) {
	out := make(map[auth.PublicKey]bool, len(g.Clients))
	for _, text := range g.Clients {
		key, err := ParseKey(text)
		if err != nil {
			return nil, err
		}
		out[key] = true
	}
	return out, nil
}
