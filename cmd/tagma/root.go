package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1 // definitely not done
	exitUsage   = 2
	exitUnknown = 3 // the outcome is unknown
	exitBad     = 4 // answered, and the answer is bad
)

const defaultDir = "./tagma-demo"

// app is one run of the binary: its streams and the flags that commands share.
type app struct {
	in       io.Reader
	out, err io.Writer

	dir      string
	keyspace string
	timeout  time.Duration
	format   string // of the output: simple, json, table or fields
	running  bool   // flags and arguments were understood
}

// usageError is a command line that cannot be carried out as it stands.
type usageError struct{ cause, next string }

func (e *usageError) Error() string { return joined(e.cause, e.next) }

func usage(next, cause string, args ...any) error {
	return &usageError{fmt.Sprintf(cause, args...), next}
}

// failure is an error with a next step: nothing was done, or what was done is
// said in the cause.
type failure struct {
	cause, next string
	err         error
}

func (e *failure) Error() string { return joined(e.cause, e.next) }
func (e *failure) Unwrap() error { return e.err }

func joined(cause, next string) string {
	if next == "" {
		return cause
	}
	return cause + "; " + next
}

// errBad ends a command whose answer, already printed, is bad.
var errBad = errors.New("the answer is bad")

// run carries out one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	unknownIsUsage(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errBad) {
		return exitBad
	}
	if !a.running {
		a.format = asked(args)
		var u *usageError
		if !errors.As(err, &u) {
			err = &usageError{firstLine(err.Error()), fmt.Sprintf("see `%s --help`", cmd.CommandPath())}
		}
	}
	return a.complain(cmd, err)
}

// asked is the output format that a command line or its variable asks for,
// though something else in it is not understood.
func asked(args []string) (format string) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.BoolP("help", "h", false, "")
	f.StringVarP(&format, "write-out", "w", os.Getenv("TAGMA_WRITE_OUT"), "")
	f.Parse(args)
	return format
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// complain prints an error and returns its exit code.
func (a *app) complain(cmd *cobra.Command, err error) int {
	code, outcome, cause, next := explain(err)
	cause, next = oneLine(cause), oneLine(next)
	if a.format == "json" {
		e := json.NewEncoder(a.err)
		e.SetEscapeHTML(false)
		e.Encode(struct {
			Error   string `json:"error"`
			Outcome string `json:"outcome"`
			Next    string `json:"next"`
		}{cause, outcome, next})
		return code
	}
	text := joined(cause, next)
	if code == exitUnknown {
		text = "outcome unknown: " + text
	}
	fmt.Fprintf(a.err, "%s: %s\n", cmd.CommandPath(), text)
	return code
}

// oneLine makes text of any origin fit for a terminal: one line, and '?' for
// what does not print, such as the escapes with which a replica that lies could
// draw over what stands there.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

// explain sorts an error: exit code, outcome in words, cause and next step.
func explain(err error) (code int, outcome, cause, next string) {
	var u *usageError
	var e *client.Error
	var f *failure
	switch {
	case errors.As(err, &u):
		return exitUsage, "usage", u.cause, u.next
	case errors.As(err, &f):
		code, outcome = exitFailed, "not done"
		if client.Unknown(f.err) {
			code, outcome = exitUnknown, "unknown"
		}
		return code, outcome, f.cause, f.next
	case errors.As(err, &e):
		code, outcome = exitFailed, "not done"
		if e.Outcome == pbft.OutcomeUnknown {
			code, outcome = exitUnknown, "unknown"
		}
		cause, ok := strings.CutSuffix(err.Error(), joined("", e.Next)) // with what was put before it
		if !ok {
			cause = e.Cause
		}
		return code, outcome, cause, e.Next
	case errors.Is(err, fs.ErrNotExist):
		next = "check the path"
	case errors.Is(err, fs.ErrPermission):
		next = "check the owner and mode of the file"
	}
	return exitFailed, "not done", err.Error(), next
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tagma",
		Short: "A key-value store that stays right when some of its servers lie",
		Long: `Tagma is a replicated key-value store: of 3f+1 replicas any f may be hacked,
broken or hostile, and every answer stays right.

Every flag can also be set by a variable: --keyspace by TAGMA_KEYSPACE, and so on.
Exit codes: 0 done; 1 failed, definitely not done; 2 usage; 3 outcome unknown;
4 answered, and the answer is bad.`,
		Example: `  tagma demo                     # four replicas on this computer
  tagma put greeting hello       # in another terminal of the same folder
  tagma get greeting
  tagma status`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("see `tagma --help` for what there is", "unknown command %q", args[0])
			}
			return nil
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			switch a.format {
			case "simple", "json", "table", "fields":
			default:
				return usage("choose simple, json, table or fields", "unknown output format %q", a.format)
			}
			a.running = true
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVarP(&a.format, "write-out", "w", "simple", "output `format`: simple, json, table or fields")
	root.AddCommand(a.initCmd(), a.startCmd(), a.demoCmd(), a.putCmd(), a.getCmd(), a.delCmd(), a.txnCmd(),
		a.compactionCmd(), a.loadCmd(), a.dumpCmd(), a.statusCmd(), a.evidenceCmd(), a.benchCmd(), a.simCmd(), a.configCmd(), a.versionCmd())
	return root
}

// unknownIsUsage gives cobra's own commands what the others have: an argument
// that names nothing is an error.
func unknownIsUsage(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return usage("see `tagma --help` for what there is", "unknown command %q", strings.Join(args, " "))
				}
				return nil
			}
		case "completion":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usage("see `tagma completion --help`", "no completion for %q", args[0])
				}
				return nil
			}
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// fromEnvironment sets flags that the command line leaves alone from TAGMA_
// variables.
func fromEnvironment(cmd *cobra.Command) error {
	for _, name := range flagNames(cmd) {
		variable := "TAGMA_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value, ok := os.LookupEnv(variable)
		if !ok || cmd.Flags().Changed(name) {
			continue
		}
		if err := cmd.Flags().Set(name, value); err != nil {
			return usage("unset it or mend its value", "variable %s: %v", variable, err)
		}
	}
	return nil
}

// clusterFlags adds the flags of commands that talk to a cluster.
func (a *app) clusterFlags(cmd *cobra.Command, timeout time.Duration) {
	f := cmd.Flags()
	f.StringVar(&a.dir, "dir", defaultDir, "the cluster's `folder`, or its client folder")
	f.StringVar(&a.keyspace, "keyspace", client.DefaultKeyspace, "`name` of the keyspace")
	f.DurationVar(&a.timeout, "timeout", timeout, "how long one operation may take")
}

// open makes the client that the flags describe.
func (a *app) open() (*client.Client, error) {
	if a.timeout <= 0 {
		return nil, usage("give one like 5s", "--timeout %v is not positive", a.timeout)
	}
	if n := len(a.keyspace); n < 1 || n > pbft.MaxKeyspace {
		return nil, usage("give another --keyspace", "a keyspace's name has 1 to %d bytes, not %d", pbft.MaxKeyspace, n)
	}
	if _, err := client.FindFolder(a.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{cause: fmt.Sprintf("there is no cluster in %s", a.dir), next: "run `tagma demo`, or name the folder with --dir or TAGMA_DIR"}
	}
	return client.Open(client.Options{Dir: a.dir, Keyspace: a.keyspace, Timeout: a.timeout})
}

// with runs f with a client, says who lied to it, and closes it.
func (a *app) with(f func(c *client.Client) error) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	err = f(c)
	if liars := c.Suspects(); len(liars) > 0 && a.format != "json" {
		fmt.Fprintf(a.err, "warning: replicas %v contradicted f+1 others; the answer is right; see `tagma status`\n", liars)
	}
	return err
}

// args checks the number of arguments.
func args(min, max int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < min || len(args) > max {
			return usage(fmt.Sprintf("see `%s --help`", cmd.CommandPath()), "%s takes %s, not %d arguments", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

// writeJSON prints one value in one line.
func writeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}
