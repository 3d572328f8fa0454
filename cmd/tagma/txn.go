package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) txnCmd() *cobra.Command {
	var interactive bool
	cmd := &cobra.Command{
		Use:   "txn",
		Short: "Run a transaction read from standard input",
		Long: `Txn reads a transaction from standard input, in etcdctl's form: compares, one a
line; a blank line; the operations to run if all hold; a blank line; those to
run otherwise. A part may be empty, and the end of input ends them all.

A compare is value("KEY"), mod("KEY"), create("KEY") or version("KEY"), then
=, !=, < or >, then "OPERAND". An operation is put, get or del with the
arguments and flags of the command of that name.`,
		Example: `  tagma txn <<'.'
  mod("greeting") > "0"

  put greeting "hello again"

  put greeting hello
  .`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var prompt func(string)
			if interactive {
				prompt = func(s string) { fmt.Fprintln(a.out, s) }
			}
			op, err := parseTxn(a.in, prompt)
			if err != nil {
				return usage("see `tagma txn --help` for the form", "%v", err)
			}
			return a.execute(cmd, op, nil)
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "say what is asked for next")
	return cmd
}

// parseTxn reads etcdctl's text form. prompt, if not nil, is told each part.
func parseTxn(in io.Reader, prompt func(string)) (op kv.Txn, err error) {
	r := bufio.NewReader(in)
	number := 0
	part := func(title string, each func(line string) error) error {
		if prompt != nil {
			prompt(title)
		}
		for {
			line, err := r.ReadString('\n')
			number++
			if err != nil && err != io.EOF {
				return err
			}
			text := strings.TrimSpace(line)
			if text == "" {
				return nil
			}
			if bad := each(text); bad != nil {
				return fmt.Errorf("line %d: %w", number, bad)
			}
			if err == io.EOF {
				return nil
			}
		}
	}
	err = part("compares:", func(line string) error {
		c, err := parseCompare(line)
		op.Compares = append(op.Compares, c)
		return err
	})
	if err == nil {
		err = part("success requests (get, put, del):", func(line string) error {
			o, err := parseOp(line)
			op.Then = append(op.Then, o)
			return err
		})
	}
	if err == nil {
		err = part("failure requests (get, put, del):", func(line string) error {
			o, err := parseOp(line)
			op.Else = append(op.Else, o)
			return err
		})
	}
	return op, err
}

var compareTargets = map[string]kv.Target{
	"ver": kv.TargetVersion, "version": kv.TargetVersion, "c": kv.TargetCreate, "create": kv.TargetCreate,
	"m": kv.TargetMod, "mod": kv.TargetMod, "val": kv.TargetValue, "value": kv.TargetValue,
}

var relations = map[string]kv.Relation{"=": kv.Equal, "!=": kv.NotEqual, "<": kv.Less, ">": kv.Greater}

// parseCompare reads a line such as mod("key") > "0".
func parseCompare(line string) (c kv.Compare, err error) {
	name, rest, ok := strings.Cut(line, "(")
	if !ok {
		return c, fmt.Errorf("%q is no compare: it has no (", line)
	}
	if c.Target, ok = compareTargets[strings.TrimSpace(name)]; !ok {
		return c, fmt.Errorf("%q is no compare: %q is none of value, mod, create and version", line, strings.TrimSpace(name))
	}
	key, rest, err := quoted(rest)
	if err != nil {
		return c, fmt.Errorf("the key in %q: %w", line, err)
	}
	rest, ok = strings.CutPrefix(strings.TrimSpace(rest), ")")
	if !ok {
		return c, fmt.Errorf("%q: no ) after the key", line)
	}
	rest = strings.TrimSpace(rest)
	relation := rest[:min(len(rest), strings.IndexFunc(rest+" ", func(r rune) bool { return !strings.ContainsRune("=!<>", r) }))]
	if c.Relation, ok = relations[relation]; !ok {
		return c, fmt.Errorf("%q: %q is none of =, !=, < and >", line, relation)
	}
	operand, rest, err := quoted(rest[len(relation):])
	if err != nil {
		return c, fmt.Errorf("the operand in %q: %w", line, err)
	}
	if strings.TrimSpace(rest) != "" {
		return c, fmt.Errorf("%q: %q is left over", line, strings.TrimSpace(rest))
	}
	c.Key = []byte(key)
	if c.Target == kv.TargetValue {
		c.Value = []byte(operand)
		return c, nil
	}
	if c.Number, err = strconv.ParseInt(operand, 10, 64); err != nil {
		return c, fmt.Errorf("%q: %q is not a number", line, operand)
	}
	return c, nil
}

// quoted takes a Go string literal from the beginning of s.
func quoted(s string) (value, rest string, err error) {
	s = strings.TrimSpace(s)
	literal, err := strconv.QuotedPrefix(s)
	if err != nil || literal[0] == '\'' {
		return "", "", errors.New(`expected a string in "double quotes"`)
	}
	value, err = strconv.Unquote(literal)
	return value, s[len(literal):], err
}

// parseOp reads a line such as: put key "some value".
func parseOp(line string) (kv.Op, error) {
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	cmd := &cobra.Command{}
	var put putFlags
	var get getFlags
	var del delFlags
	flags := cmd.Flags()
	switch words[0] {
	case "put":
		put.bind(flags)
	case "get":
		get.bind(flags)
	case "del":
		del.bind(flags)
	default:
		return nil, fmt.Errorf("%q is none of put, get and del", words[0])
	}
	if err := cmd.ParseFlags(words[1:]); err != nil {
		return nil, err
	}
	args := flags.Args()
	switch {
	case words[0] == "put" && len(args) == 2:
		return kv.Put{Key: []byte(args[0]), Value: []byte(args[1]), PrevKV: put.prevKV}, nil
	case words[0] == "get" && (len(args) == 1 || len(args) == 2):
		return get.op(args)
	case words[0] == "del" && (len(args) == 1 || len(args) == 2):
		return del.op(args)
	}
	return nil, fmt.Errorf("%s does not take %d arguments", words[0], len(args))
}

// split cuts a line into words. "Double" quotes enclose a Go string literal,
// 'single' ones anything as it is.
func split(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		switch line[0] {
		case '"':
			word, rest, err := quoted(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			words, line = append(words, word), rest
		case '\'':
			end := strings.IndexByte(line[1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("%s: the quote is not closed", line)
			}
			words, line = append(words, line[1:1+end]), line[end+2:]
		default:
			end := strings.IndexAny(line+" ", " \t")
			words, line = append(words, line[:end]), line[end:]
		}
	}
	return words, nil
}
