package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

const (
	loadTimeout = time.Minute
	loadOps     = 1024    // puts under way at once
	loadBytes   = 2 << 20 // and their bytes
	maxLine     = 8 << 20 // bytes of a line: escapes make it longer than its pair
)

func (a *app) loadCmd() *cobra.Command {
	var from int64
	var skip bool
	cmd := &cobra.Command{
		Use:   "load FILE|-",
		Short: "Put all pairs of a file of JSON lines",
		Long: `Load puts one pair a line, {"key":...,"value":...}, or "key64" and "value64" in
base64 for what is not UTF-8; of equal keys the last line counts. Lines that
are blank are passed over. It packs many puts into one request, and sends again
what was not answered, up to --timeout for each put.

At a line that is invalid it stops, and nothing after that line is loaded; all
lines before it are. Whenever it stops early it says how to go on from there.`,
		Example: `  tagma load backup.jsonl
  tagma load backup.jsonl --from-line 20001
  apt-cache dumpavail | my-converter | tagma load -`,
		Args: args(1, 1, "a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from < 1 {
				return usage("lines are counted from 1", "--from-line is %d", from)
			}
			in, size := a.in, int64(0)
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return &failure{cause: err.Error(), next: "name a file of JSON lines, or - for standard input", err: err}
				}
				defer f.Close()
				info, err := f.Stat()
				if err != nil {
					return err
				}
				if info.IsDir() {
					return &failure{cause: args[0] + " is a folder", next: "name a file of JSON lines"}
				}
				in, size = f, info.Size()
			}
			return a.with(func(c *client.Client) error {
				l := newLoader(c, a.timeout)
				l.name, l.from, l.skip = args[0], from, skip
				l.progress = newProgress(a.err, size)
				return l.run(cmd.Context(), in, a.out)
			})
		},
	}
	a.clusterFlags(cmd, loadTimeout)
	cmd.Flags().Int64Var(&from, "from-line", 1, "begin with line `N`, counted from 1")
	cmd.Flags().BoolVar(&skip, "skip-invalid", false, "tell of invalid lines and go on")
	return cmd
}

// loader puts lines, many at once. Lines of one key are put one after the
// other, so that the last one counts.
type loader struct {
	put      func(ctx context.Context, op kv.Put) error
	timeout  time.Duration
	name     string // of the file
	from     int64  // first line
	skip     bool
	progress *progress

	mu      sync.Mutex
	changed sync.Cond
	count   int             // puts under way
	bytes   int             // and their bytes
	keys    map[string]bool // and their keys
	open    []*line         // by number, from the first that is not acknowledged; at most loadOps and those done after it
	done    int64           // puts acknowledged
	skipped int64
	err     error // the first failure
}

// line is one put under way.
type line struct {
	number int64
	op     kv.Put
	done   bool
}

func newLoader(c *client.Client, timeout time.Duration) *loader {
	l := &loader{timeout: timeout, keys: map[string]bool{}, from: 1}
	l.changed.L = &l.mu
	l.put = func(ctx context.Context, op kv.Put) error {
		_, _, err := c.Put(ctx, op)
		return err
	}
	return l
}

// run loads everything that in has.
func (l *loader) run(ctx context.Context, in io.Reader, out io.Writer) error {
	stop := context.AfterFunc(ctx, func() { l.fail(ctx.Err()) })
	defer stop()
	number, invalid := l.read(ctx, in)
	l.mu.Lock()
	for l.count > 0 {
		l.changed.Wait()
	}
	next := number + 1 // the first line that is not acknowledged
	if len(l.open) > 0 {
		next = l.open[0].number
	}
	err, done, skipped := l.err, l.done, l.skipped
	l.mu.Unlock()
	l.progress.end()
	switch {
	case err != nil:
		return l.stopped(err, next)
	case invalid != nil:
		return &failure{cause: fmt.Sprintf("line %d is invalid: %v; all lines before it are loaded, none from it on", number+1, invalid),
			next: fmt.Sprintf("mend it and type `tagma load %s --from-line %d`, or add --skip-invalid", l.name, number+1)}
	}
	text := fmt.Sprintf("loaded %d pairs", done)
	if skipped > 0 {
		text += fmt.Sprintf(", skipped %d invalid lines", skipped)
	}
	return printLine(out, "%s", text)
}

// stopped says up to which line everything is loaded, and how to go on.
func (l *loader) stopped(err error, next int64) error {
	_, _, cause, _ := explain(err)
	if errors.Is(err, context.Canceled) {
		cause = "interrupted"
	}
	return &failure{cause: fmt.Sprintf("%s; all lines before line %d are acknowledged", cause, next),
		next: fmt.Sprintf("to go on type `tagma load %s --from-line %d`", l.name, next), err: err}
}

// read hands out lines until the end, a failure or an invalid line. It returns
// the number of the last line that was dealt with.
func (l *loader) read(ctx context.Context, in io.Reader) (last int64, invalid error) {
	r := bufio.NewReaderSize(in, 1<<16)
	for number := int64(1); ; number++ {
		text, size, err := readLine(r)
		if size == 0 && err == io.EOF {
			return number - 1, nil
		}
		if err != nil && err != io.EOF && err != bufio.ErrTooLong {
			l.fail(fmt.Errorf("reading %s: %w", l.name, err))
			return number - 1, nil
		}
		if number < l.from || err == nil && len(bytes.TrimSpace(text)) == 0 {
			l.progress.add(number, size)
			continue
		}
		var op kv.Put
		if err == bufio.ErrTooLong {
			err = fmt.Errorf("longer than %d bytes", maxLine)
		} else {
			op, err = parseLine(text)
		}
		if err != nil && !l.skip {
			return number - 1, err
		}
		if err != nil {
			l.progress.note("line %d is invalid and skipped: %v", number, err)
			l.skipped++
		} else if !l.begin(ctx, &line{number: number, op: op}) {
			return number - 1, nil
		}
		l.progress.add(number, size)
	}
}

// readLine reads a line without its newline; size is what it took of the
// input. A line that is too long is read to its end and not returned.
func readLine(r *bufio.Reader) (text []byte, size int, err error) {
	for {
		part, err := r.ReadSlice('\n')
		size += len(part)
		if size <= maxLine {
			text = append(text, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if size > maxLine {
			return nil, size, bufio.ErrTooLong
		}
		return bytes.TrimSuffix(text, []byte("\n")), size, err
	}
}

// begin starts a put as soon as there is room; false after a failure.
func (l *loader) begin(ctx context.Context, x *line) bool {
	size, key := len(x.op.Key)+len(x.op.Value), string(x.op.Key)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && (l.count >= loadOps || l.count > 0 && l.bytes+size > loadBytes || l.keys[key] || len(l.open) >= 16*loadOps) {
		l.changed.Wait()
	}
	if l.err != nil {
		return false
	}
	l.count++
	l.bytes += size
	l.keys[key] = true
	l.open = append(l.open, x)
	go func() {
		err := l.try(ctx, x.op)
		l.end(x, size, key, err)
	}()
	return true
}

// try puts until the outcome is known or the time is up. To put the same pair
// twice does no harm.
func (l *loader) try(ctx context.Context, op kv.Put) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for {
		err := l.put(ctx, op)
		if !client.Unknown(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (l *loader) end(x *line, size int, key string, err error) {
	if err != nil {
		l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	l.bytes -= size
	delete(l.keys, key)
	if err == nil {
		x.done = true
		l.done++
		for len(l.open) > 0 && l.open[0].done {
			l.open = l.open[1:]
		}
	}
	l.changed.Broadcast()
}

// fail keeps the first failure: nothing more is begun. One that leaves an
// outcome open outweighs one that does not.
func (l *loader) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil || client.Unknown(err) && !client.Unknown(l.err) {
		l.err = err
	}
	l.changed.Broadcast()
}
