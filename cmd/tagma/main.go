// Command tagma is the one binary: it makes clusters, runs their nodes, and
// is their command-line client. docs and DESIGN's section 9 state the
// contract that scripts rely on: flags, exit codes and JSON.
//
// It is not a library: every subcommand is a file that reads flags, calls
// client, node or sim, and prints. root.go has what they share.
//
// The one rule: whatever goes wrong ends in one line on standard error that
// names the cause and the next step (with -w json in one object), and in an
// exit code that tells a script what is known: 0 done; 1 failed, definitely
// not done; 2 usage; 3 outcome unknown; 4 answered, and the answer is bad.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A first signal ends the command in an orderly way, a second at once.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	os.Exit(a.run(ctx, os.Args[1:]))
}
