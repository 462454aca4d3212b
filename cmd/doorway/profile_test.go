package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"testing"
)

// Where the CPU time of a benchmark of the whole program goes: with
// DOORWAY_PROFILE=DIR it does not run the program as it is shipped but this test's own binary as
// the program, which writes one profile into DIR for each thing that is measured,
// DIR/1.pprof and so on. Its figures are a little different from the shipped ones.
const profileEnv = "DOORWAY_PROFILE"

// profiledEnv tells the test's binary that it is the program.
const profiledEnv = "DOORWAY_PROFILED"

// programCommand is a run of the program.
func programCommand(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return exec.Command(program(t), args...)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), profiledEnv+"="+dir)
	return cmd
}

// profiling brackets what is measured: it begins a profile in a program that
// was started so, and ends it when it is called again.
func profiling(t testing.TB, p *process) {
	t.Helper()
	if os.Getenv(profileEnv) == "" {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Error(err)
	}
}

// profiled is the program in the test's binary; it does not return.
func profiled(dir string) {
	toggle := make(chan os.Signal, 1)
	signal.Notify(toggle, syscall.SIGUSR2)
	go func() { // ends with the process
		for n := 1; ; n++ {
			<-toggle
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(n, ".pprof")))
			if err == nil {
				err = pprof.StartCPUProfile(f)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "profile:", err)
			}
			<-toggle
			pprof.StopCPUProfile()
			_ = f.Close() // ignored: then the profile is short
		}
	}()
	main()
}
