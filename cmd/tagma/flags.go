package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tagma-db/tagma/kv"
)

// flagNames lists the flags of a command, its own and inherited, but help.
func flagNames(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			names = append(names, f.Name)
		}
	})
	return names
}

// everything is the interval of all keys.
var everything = kv.Interval{Key: []byte{0}, End: []byte{0}}

// interval reads the keys that a command means: one key, a range from a first
// to before a last, a prefix, or all from a key on.
func interval(args []string, prefix, fromKey bool) (kv.Interval, error) {
	switch {
	case prefix && fromKey:
		return kv.Interval{}, usage("choose one", "--prefix and --from-key exclude each other")
	case len(args) == 2 && (prefix || fromKey):
		return kv.Interval{}, usage("leave the end of the range out", "--prefix and --from-key take one key")
	case len(args) == 2:
		if args[0] == "" {
			return kv.Interval{}, usage("give a key", "the key is empty")
		}
		if args[1] == "" { // as in etcdctl: no end
			return kv.Interval{Key: []byte(args[0])}, nil
		}
		return kv.Interval{Key: []byte(args[0]), End: []byte(args[1])}, nil
	case args[0] == "" && (prefix || fromKey):
		return everything, nil
	case args[0] == "":
		return kv.Interval{}, usage("give a key, or --prefix for all keys", "the key is empty")
	case prefix:
		return kv.Prefix([]byte(args[0])), nil
	case fromKey:
		return kv.Interval{Key: []byte(args[0]), End: []byte{0}}, nil
	}
	return kv.Interval{Key: []byte(args[0])}, nil
}

// putFlags are those of put, also within txn.
type putFlags struct{ prevKV bool }

func (p *putFlags) bind(f *pflag.FlagSet) {
	f.BoolVar(&p.prevKV, "prev-kv", false, "answer with the pair as it was before")
}

// getFlags are those of get, also within txn.
type getFlags struct {
	prefix, fromKey, keysOnly, countOnly, valueOnly bool
	revision, limit                                 int64
	order, sortBy                                   string
}

func (g *getFlags) bind(f *pflag.FlagSet) {
	f.BoolVar(&g.prefix, "prefix", false, "all keys that begin with the key")
	f.BoolVar(&g.fromKey, "from-key", false, "all keys from the key on")
	f.Int64Var(&g.revision, "rev", 0, "read as of this `revision` (0: the present)")
	f.Int64Var(&g.limit, "limit", 0, "at most so many pairs (0: no limit)")
	f.StringVar(&g.order, "order", "", "`direction`: ASCEND or DESCEND")
	f.StringVar(&g.sortBy, "sort-by", "", "`target`: CREATE, KEY, MODIFY, VALUE or VERSION")
	f.BoolVar(&g.keysOnly, "keys-only", false, "leave the values out")
	f.BoolVar(&g.countOnly, "count-only", false, "only count the keys")
	f.BoolVar(&g.valueOnly, "print-value-only", false, "print only values (with -w simple)")
}

var sortTargets = map[string]kv.Target{"": kv.TargetKey, "KEY": kv.TargetKey, "CREATE": kv.TargetCreate,
	"MODIFY": kv.TargetMod, "VALUE": kv.TargetValue, "VERSION": kv.TargetVersion}

func (g *getFlags) op(args []string) (kv.Range, error) {
	i, err := interval(args, g.prefix, g.fromKey)
	if err != nil {
		return kv.Range{}, err
	}
	if g.keysOnly && g.countOnly {
		return kv.Range{}, usage("choose one", "--keys-only and --count-only exclude each other")
	}
	if g.revision < 0 || g.limit < 0 {
		return kv.Range{}, usage("give 0 or a positive number", "--rev and --limit are not negative")
	}
	target, ok := sortTargets[strings.ToUpper(g.sortBy)]
	if !ok {
		return kv.Range{}, usage("choose CREATE, KEY, MODIFY, VALUE or VERSION", "unknown sort target %q", g.sortBy)
	}
	op := kv.Range{Interval: i, Revision: g.revision, Limit: g.limit, SortBy: target, KeysOnly: g.keysOnly, CountOnly: g.countOnly}
	switch strings.ToUpper(g.order) {
	case "", "ASCEND":
	case "DESCEND":
		op.Descending = true
	default:
		return kv.Range{}, usage("choose ASCEND or DESCEND", "unknown order %q", g.order)
	}
	return op, nil
}

// delFlags are those of del, also within txn.
type delFlags struct{ prefix, fromKey, prevKV bool }

func (d *delFlags) bind(f *pflag.FlagSet) {
	f.BoolVar(&d.prefix, "prefix", false, "all keys that begin with the key")
	f.BoolVar(&d.fromKey, "from-key", false, "all keys from the key on")
	f.BoolVar(&d.prevKV, "prev-kv", false, "answer with the pairs as they were before")
}

func (d *delFlags) op(args []string) (kv.DeleteRange, error) {
	i, err := interval(args, d.prefix, d.fromKey)
	return kv.DeleteRange{Interval: i, PrevKV: d.prevKV}, err
}

func parseRevision(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, usage("give a number, as `tagma get -w json` prints it", "%q is not a revision", text)
	}
	return n, nil
}
