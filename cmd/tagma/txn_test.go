package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/kv"
)

func key(s string) kv.Interval { return kv.Interval{Key: []byte(s)} }

func TestParseTxn(t *testing.T) {
	op, err := parseTxn(strings.NewReader(`mod("key1") > "0"
value("a\tb") = "x y"
create("k") != "7"
ver("k")<"3"

put key1 "over written"
put --prev-kv 'single "quoted"' v
get --prefix users/ --limit 3
del a m

put key1 created
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := kv.Txn{
		Compares: []kv.Compare{
			{Interval: key("key1"), Target: kv.TargetMod, Relation: kv.Greater},
			{Interval: key("a\tb"), Target: kv.TargetValue, Relation: kv.Equal, Value: []byte("x y")},
			{Interval: key("k"), Target: kv.TargetCreate, Relation: kv.NotEqual, Number: 7},
			{Interval: key("k"), Target: kv.TargetVersion, Relation: kv.Less, Number: 3},
		},
		Then: []kv.Op{
			kv.Put{Key: []byte("key1"), Value: []byte("over written")},
			kv.Put{Key: []byte(`single "quoted"`), Value: []byte("v"), PrevKV: true},
			kv.Range{Interval: kv.Prefix([]byte("users/")), Limit: 3},
			kv.DeleteRange{Interval: kv.Interval{Key: []byte("a"), End: []byte("m")}},
		},
		Else: []kv.Op{kv.Put{Key: []byte("key1"), Value: []byte("created")}},
	}
	if !reflect.DeepEqual(op, want) {
		t.Errorf("got  %+v\nwant %+v", op, want)
	}
}

func TestParseTxnParts(t *testing.T) {
	for text, want := range map[string][3]int{
		"":                                    {0, 0, 0},
		"\n\n\n":                              {0, 0, 0},
		"\nput a b":                           {0, 1, 0},
		"\n\nput a b\n":                       {0, 0, 1},
		"mod(\"a\") = \"1\"":                  {1, 0, 0},
		"  mod(\"a\") = \"1\"  \n \n get a\n": {1, 1, 0},
	} {
		op, err := parseTxn(strings.NewReader(text), nil)
		if got := [3]int{len(op.Compares), len(op.Then), len(op.Else)}; err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestParseTxnErrors(t *testing.T) {
	for text, want := range map[string]string{
		"mod\n":                         "line 1: \"mod\" is no compare",
		"lease(\"a\") = \"1\"\n":        "is none of value, mod, create and version",
		"mod(a) = \"1\"\n":              "the key in",
		"mod(\"a\" = \"1\"\n":           "no ) after the key",
		"mod(\"a\") ~ \"1\"\n":          "is none of =, !=, < and >",
		"mod(\"a\") == \"1\"\n":         "\"==\" is none of",
		"mod(\"a\") = 1\n":              "the operand in",
		"mod(\"a\") = \"x\"\n":          "is not a number",
		"mod(\"a\") = \"1\" x\n":        "is left over",
		"\nfetch a\n":                   "line 2: \"fetch\" is none of put, get and del",
		"\nput a\n":                     "put does not take 1 arguments",
		"\nput \"a\n":                   "double quotes",
		"\nput 'a\n":                    "the quote is not closed",
		"\nget --frobnicate a\n":        "unknown flag",
		"\nget --sort-by NOISE a\n":     "unknown sort target",
		"\nget \"\"\n":                  "the key is empty",
		"\ndel --prefix --from-key a\n": "exclude each other",
	} {
		if _, err := parseTxn(strings.NewReader(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseTxn: any text is a transaction or an error.
func FuzzParseTxn(f *testing.F) {
	f.Add("mod(\"k\") > \"0\"\n\nput k v\n\nget k --prefix\ndel k\n")
	f.Fuzz(func(_ *testing.T, text string) {
		parseTxn(strings.NewReader(text), nil)
	})
}
