package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
)

// wireVersion is the version of frames and links (package wire's magic, package
// transport's ALPN name).
const wireVersion = 1

type versions struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Wire     int    `json:"wire"`
	Protocol int    `json:"protocol"`
	Genesis  int    `json:"genesis"`
	Go       string `json:"go"`
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary and of what it speaks",
		Example: "  tagma version -w json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			v := readVersions()
			if a.format == "json" {
				return writeJSON(a.out, v)
			}
			return printLine(a.out, "tagma %s, commit %s\nwire %d, protocol %d, genesis format %d, %s",
				v.Version, v.Commit, v.Wire, v.Protocol, v.Genesis, v.Go)
		},
	}
}

func readVersions() versions {
	v := versions{Version: "unknown", Commit: "unknown", Wire: wireVersion, Protocol: client.ProtocolVersion,
		Genesis: client.GenesisFormat, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = build.Main.Version
	modified := false
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		v.Commit += " with changes"
	}
	return v
}
