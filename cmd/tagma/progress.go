package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress tells how far load is: a bar on a terminal, else a line now and
// then. Only one goroutine uses it.
type progress struct {
	out      io.Writer
	terminal bool
	size     int64 // bytes in all, 0 if unknown
	bytes    int64
	line     int64
	began    time.Time
	told     time.Time
	shown    bool
}

const (
	barPause  = 100 * time.Millisecond
	linePause = 5 * time.Second
	barWidth  = 30
)

func newProgress(out io.Writer, size int64) *progress {
	p := &progress{out: out, size: size, began: time.Now()}
	p.told = p.began
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// add notes that a line was dealt with.
func (p *progress) add(line int64, bytes int) {
	p.line, p.bytes = line, p.bytes+int64(bytes)
	pause := linePause
	if p.terminal {
		pause = barPause
	}
	if now := time.Now(); now.Sub(p.told) >= pause {
		p.told = now
		p.show()
	}
}

func (p *progress) show() {
	rate := float64(p.line) / max(time.Since(p.began).Seconds(), 0.001)
	text := fmt.Sprintf("line %d, %.0f lines/s", p.line, rate)
	if p.size > 0 {
		share := min(float64(p.bytes)/float64(p.size), 1)
		text = fmt.Sprintf("%3.0f %%  %s", 100*share, text)
		if p.terminal {
			full := int(share * barWidth)
			text = "[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "] " + text
		}
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		p.shown = true
	} else {
		fmt.Fprintln(p.out, text)
	}
}

// note prints a line of its own.
func (p *progress) note(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// end leaves the line free for what follows.
func (p *progress) end() { p.clear() }

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
