package arch

import (
	"os"
	"testing"
)

// TestTree holds the module to its house rules.
func TestTree(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	ratchet, err := os.ReadFile("ratchet.txt")
	if err != nil {
		t.Fatal(err)
	}
	impureMaps, marks := CheckMaps(tree)
	for _, check := range []struct {
		name string
		bad  []string
	}{
		{"parses", tree.Broken},
		{"rooms", CheckRooms(tree)},
		{"pure", CheckPure(tree)},
		{"maps", impureMaps},
		{"ratchet", Compare(string(ratchet), append(Measures(tree), marks...))},
		{"main", CheckMain(tree)},
		{"package comments", CheckPackageComments(tree)},
		{"tests", CheckTests(tree)},
		{"comments", CheckComments(tree)},
		{"citations", CheckCitations(tree)},
		{"links", CheckLinks(tree)},
		{"verbs", CheckVerbs(tree)},
	} {
		t.Run(check.name, func(t *testing.T) {
			for _, line := range check.bad {
				t.Error(line)
			}
		})
	}
}
