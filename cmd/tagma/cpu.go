package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// demoPIDs are the processes of the demo in a folder; none if it is no demo.
// A node that was started again has its new id in its folder.
func demoPIDs(dir string) (pids []int) {
	text, err := os.ReadFile(filepath.Join(dir, "demo.json"))
	if err != nil {
		return nil
	}
	var file demoFile
	if json.Unmarshal(text, &file) != nil {
		return nil
	}
	for _, n := range file.Nodes {
		folder := filepath.Join(dir, nodeFolder(n.ID))
		if pid := readPID(folder); pid > 0 && alive(pid) && runsNode(pid, folder) {
			pids = append(pids, pid)
		}
	}
	return pids
}

const clockTicks = 100 // a second, in /proc/PID/stat: fixed on Linux

// cpuSeconds is the CPU time that processes have used so far; false if it
// cannot be read of all of them.
func cpuSeconds(pids []int) (seconds float64, ok bool) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, false
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold blanks
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			return 0, false
		}
		for _, field := range fields[11:13] { // utime and stime
			ticks, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, false
			}
			seconds += ticks / clockTicks
		}
	}
	return seconds, len(pids) > 0
}
