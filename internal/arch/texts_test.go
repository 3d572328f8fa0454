package arch

import (
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) {
	tr := tree(t,
		"auth/auth.go", "package auth\n",
		"cmd/tagma/main.go", "// Command tagma.\npackage main\n",
		"cmd/tagma/put.go", "package main\n",
		"host/host_test.go", "package host\n",
		"kv/doc.go", "// Package kv is fine.\npackage kv\n",
		"kv/kv.go", "package kv\n",
		"wire/doc.go", "//go:build linux\n\n// Package wire.\npackage wire\n",
		"wire/wire.go", "// Package wire again.\npackage wire\n",
	)
	want(t, CheckPackageComments(tr),
		"auth/doc.go:1: the package comment is missing",
		"wire/wire.go:1: has a package comment; the only one stands in wire/doc.go",
	)
}

func TestTests(t *testing.T) {
	tr := tree(t,
		"kv/kv.go", "package kv\nfunc f() { time.Sleep(1) }\n",
		"kv/kv_test.go", `package kv
func TestA(t *testing.T) {
	time.Sleep(1)
	t.Skip("no disk")
	d.Skip(4)
	// time.Sleep(1)
}
func check(tb testing.TB) { tb.SkipNow() }
`)
	want(t, CheckTests(tr), "kv/kv_test.go:3: a test sleeps", "kv/kv_test.go:4: a test skips", "kv/kv_test.go:8: a test skips")
}

func TestComments(t *testing.T) {
	word := "TO" + "DO"
	tr := tree(t, "kv/kv.go", "package kv\n\n// "+word+": later\n\n/* fine\n"+word+" #12: later */\n\nvar s = \"// "+word+"\"\n")
	want(t, CheckComments(tr), "kv/kv.go:3: "+word+" without the number of an issue")
}

func TestCitations(t *testing.T) {
	page := "# P\n\n- **D1** A [I1]\n- **D2** B\n- **D3** C\n- **D4** D\n- **D5** E\n- **D6** F, see **D2**\n\n| | Always |\n|---|---|\n"
	for _, i := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11") {
		page += "| I" + i + " Name | text |\n"
	}
	code := "package kv\n\n// Keeps [I4] and [D6], not\n// [I13] nor [D7]; m[I99] is code.\n"
	tr := tree(t, "docs/protocol.md", page+"| I12 Name | text |\n", "kv/kv.go", code)
	want(t, CheckCitations(tr), "cites [D7]", "cites [I13]", "cites [I99]")
	tr = tree(t, "docs/protocol.md", page+"| I11 Again | text |\n")
	want(t, CheckCitations(tr), "docs/protocol.md:1: defines I11 2 times, not once", "docs/protocol.md:1: defines I12 0 times, not once")
}

func TestLinks(t *testing.T) {
	tr := tree(t,
		"README.md", "[a](docs/a.md#part) [b](docs/b.md) ![c](c.png \"title\") [d](https://example.org/x) [e](#here) `[f](f.md)`\n```\n[g](g.md)\n```\n[h]: h.md\n[i](docs) [j](/docs/a.md)\n",
		"docs/a.md", "[up](../README.md) [gone](README.md)\n",
	)
	want(t, CheckLinks(tr),
		"README.md:1: links to docs/b.md", "README.md:1: links to c.png", "README.md:5: links to h.md",
		"docs/a.md:1: links to README.md",
	)
}

func TestVerbs(t *testing.T) {
	readme := "Run `tagma nothing`.\n```\ngo run ./cmd/tagma demo --fresh\ncd tagma && tagma get k\ntagma put a b; tagma load f\n```\n"
	want(t, CheckVerbs(tree(t, "README.md", readme)))
	tr := tree(t, "README.md", readme,
		"cmd/tagma/main.go", "package main\n",
		"cmd/tagma/demo.go", "package main\n",
		"cmd/tagma/keys.go", "package main\nvar c = cobra.Command{Use: \"put KEY VALUE\"}\nvar s = \"load\"\n",
	)
	want(t, CheckVerbs(tr), "README.md:4: shows `tagma get`", "README.md:5: shows `tagma load`")
}
