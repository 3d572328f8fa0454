package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	logName   = "log.txt"
	stopGrace = 10 * time.Second // for a child to stop cleanly
)

// child is one node's process.
type child struct {
	id       int
	dir      string
	cmd      *exec.Cmd
	log      *os.File
	status   string // how it ended; set before it is sent to exits
	reported bool
}

// start begins the process; it is sent to exits when it has ended. The nodes
// share this computer, so each runs on its share of the processors: threads
// that wake each other across all of them cost more than they bring.
func (c *child) start(binary string, args []string, share int, exits chan<- *child) (err error) {
	if c.log, err = os.OpenFile(filepath.Join(c.dir, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return err
	}
	c.cmd = exec.Command(binary, args...)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "TAGMA_") { // they were meant for the demo
			c.cmd.Env = append(c.cmd.Env, variable)
		}
	}
	if os.Getenv("GOMAXPROCS") == "" {
		c.cmd.Env = append(c.cmd.Env, fmt.Sprint("GOMAXPROCS=", share))
	}
	ownGroup(c.cmd)
	if err := c.cmd.Start(); err != nil {
		c.log.Close()
		return err
	}
	go func() {
		err := c.cmd.Wait()
		c.log.Close()
		c.status = "exit status 0"
		if err != nil {
			c.status = err.Error()
		}
		exits <- c
	}()
	return nil
}

// lastLine is the last line of the node's log.
func (c *child) lastLine() string {
	f, err := os.Open(filepath.Join(c.dir, logName))
	if err != nil {
		return ""
	}
	defer f.Close()
	const tail = 4096
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, size-tail), io.SeekStart)
	}
	text, err := io.ReadAll(io.LimitReader(f, tail))
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return oneLine(string(lines[len(lines)-1]))
}

// left counts the nodes not yet reported as ended.
func (d *demo) left() (n int) {
	for _, c := range d.nodes {
		if !c.reported {
			n++
		}
	}
	return n
}

// stopAll stops the nodes that run, and counts them and those that had to be
// killed.
func (d *demo) stopAll(exits <-chan *child) (stopped, forced int) {
	left := 0
	for _, c := range d.nodes {
		if !c.reported {
			left++
			terminate(c.cmd.Process)
		}
	}
	stopped = left
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	for left > 0 {
		select {
		case c := <-exits:
			c.reported = true
			left--
			if c.status != "exit status 0" {
				fmt.Fprintf(d.err, "node %d ended: %s; its log ends: %s\n", c.id, c.status, c.lastLine())
			}
		case <-grace.C:
			for _, c := range d.nodes {
				if !c.reported {
					forced++
					c.cmd.Process.Kill()
				}
			}
		}
	}
	return stopped, forced
}
