package modem

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// B22: the process is killed between Ctrl-Z and +CMGS, and between +CMGS and
// OK. The driver of the next process starts, takes nothing of the old answer
// for its own and sends nothing by itself.
func TestB22Killed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"B22-before@500ms", "B22-after@500ms"} {
		for _, wait := range []time.Duration{0, 420 * time.Millisecond} { // the old answer comes after or within the start
			t.Run(name+"/"+wait.String(), func(t *testing.T) {
				r := newRig(t, script(name), nil)
				r.ready()
				r.stop() // the rig's own driver makes room
				killed(t, r, wait)
				c := r.d.cfg
				c.LockDir = t.TempDir()
				r.run(c)
				r.ready()
				r.impatient = true // ESC goes out while the old part is being sent
				if n := r.counts(); n["killed"] != 1 {
					t.Fatalf("at the service centre: %v", n)
				}
				mr := r.mustSend("after the restart")
				if s := r.emu.Submits(); len(s) != 2 || s[1].MRs[0] != mr {
					t.Errorf("reference %d, service centre %+v", mr, s)
				}
				r.standing()
			})
		}
	}
}

// killed runs a driver in a process of its own and kills it some time after
// its part has reached the service centre.
func killed(t *testing.T, r *rig, wait time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "MODEM_DEVICE="+r.d.cfg.Device, "MODEM_LOCK="+r.d.cfg.LockDir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "on air" {
		t.Fatalf("victim says %q, %v", line, err)
	}
	r.until("part at the service centre", 5*time.Second, func() bool { return r.counts()["killed"] == 1 })
	if wait > 0 {
		<-time.After(wait)
	}
}

// TestVictim is the process that TestB22Killed kills.
func TestVictim(t *testing.T) {
	device := os.Getenv("MODEM_DEVICE")
	if device == "" {
		t.Skip("only as a process of its own")
	}
	d := New(Config{Name: "victim", Device: device, LockDir: os.Getenv("MODEM_LOCK"), Timeouts: fast})
	go func() { _ = d.Run(context.Background()) }() // ends with the process
	waitFor(t, "ready", 5*time.Second, func() bool { return d.Status().State == Ready }, nil)
	_, err := d.Send(context.Background(), encode(t, "killed"), func() error {
		_, err := os.Stdout.WriteString("on air\n")
		return err
	})
	t.Fatalf("not killed: %v", err)
}
