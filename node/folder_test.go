package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/client"
)

// TestFolderRefusals: what FORMAT says is checked before it is used, and every
// refusal has a next step of its own.
func TestFolderRefusals(t *testing.T) {
	c := newCluster(t, 1)
	format := string(formatText(c.genesis, 0))
	for text, want := range map[string]string{
		string(formatText(c.genesis, -1)):                "no such node",
		string(formatText(c.genesis, 1)):                 "no such node",
		strings.Replace(format, "tagma 1", "tagma 2", 1): "format 2",
		format + "more":                                  "different clusters or nodes",
		"x":                                              "is damaged",
	} {
		if err := os.WriteFile(filepath.Join(c.dirs[0], fileFormat), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Start(Options{Dir: c.dirs[0]})
		var e *client.Error
		if !errors.As(err, &e) || !strings.Contains(e.Cause, want) || e.Next == "" || client.Unknown(err) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	os.Remove(filepath.Join(c.dirs[0], dirLog, "manifest"))
	if err := os.WriteFile(filepath.Join(c.dirs[0], fileFormat), []byte(format), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Start(Options{Dir: c.dirs[0]})
	var e *client.Error
	if !errors.Is(err, ErrAmnesia) || !errors.As(err, &e) || !strings.HasSuffix(err.Error(), "; "+e.Next) {
		t.Errorf("a log without its manifest: %v", err)
	}
}
