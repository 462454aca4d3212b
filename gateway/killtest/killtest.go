// Package killtest shows what survives kill -9: it runs the calling test once
// more as a child process that works in a folder and says what it has
// acknowledged, and kills it at a random moment while it works.
//
//	func TestKill(t *testing.T) {
//		if dir := killtest.Dir(); dir != "" {
//			writeUntilKilled(dir) // prints a line for each acknowledgement
//			return
//		}
//		dir := t.TempDir()
//		killtest.Rounds(3, func(int) {
//			killtest.Run(t, dir, 100, 150*time.Millisecond, func(line string) { … })
//			// open the folder: everything that was said must be there
//		}, func() bool { return len(acknowledged) >= 100 })
//	}
//
// The moment is counted in lines first and in time only then, so that a slow
// machine gets as far as a fast one. Only tests import it. It starts no
// goroutine; Run waits for the child.
package killtest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// folder is the variable that names the child's folder.
const folder = "DOORWAY_KILLTEST"

// silence is how long the child may say nothing before it counts as stuck.
const silence = 2 * time.Minute

// Dir is the folder that this process is to work in until it is killed; "" in
// the test itself.
func Dir() string { return os.Getenv(folder) }

// Die ends the child when something went wrong, which fails the test; it does
// nothing without an error.
func Die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Run starts the calling test as a child, hands over the lines that it prints,
// and kills it when it has printed some number of them, up to lines, and a
// time up to within has passed since. It returns when the child has ended and
// all its lines were handed over. A child that ends by itself, or gets stuck,
// fails the test.
func Run(t testing.TB, dir string, lines int, within time.Duration, line func(string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$") // ctx ends it by SIGKILL
	cmd.Env = append(os.Environ(), folder+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(silence, cancel)
	defer timer.Stop()
	said, last := 0, 1+rand.IntN(lines)
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if said++; said < last {
			timer.Reset(silence)
		} else if said == last {
			timer.Reset(rand.N(within))
		}
		line(scan.Text())
	}
	err = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed but ended by itself: %v", err)
	}
	if said < last {
		t.Fatalf("the child said %d lines and then nothing for %v", said, silence)
	}
}

// Rounds calls round n times, and on until enough says so, at most ten times
// as often; the caller checks afterwards.
func Rounds(n int, round func(i int), enough func() bool) {
	for i := 0; i < n || i < 10*n && !enough(); i++ {
		round(i)
	}
}
