package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/modem/emulator"
	"doorway/transports"
)

// rss is a process's resident memory in MiB.
func rss(t testing.TB, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(v)[0])
			if err != nil {
				t.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// wait lets real time pass: what is measured happens by itself meanwhile.
func wait(b *testing.B, d time.Duration) {
	b.Helper()
	select {
	case <-b.Context().Done():
		b.Fatal("stopped")
	case <-time.After(d):
	}
}

// BenchmarkDemoIdle reports what the demo holds in memory and burns in CPU when nothing happens.
// Budget: 25 MB.
func BenchmarkDemoIdle(b *testing.B) {
	for range b.N {
		d := startDemo(b)
		wait(b, 10*time.Second)
		before := cpu(b, d.proc.cmd.Process.Pid)
		wait(b, 20*time.Second)
		b.ReportMetric(rss(b, d.proc.cmd.Process.Pid)*1.048576, "MB-RSS")
		b.ReportMetric((cpu(b, d.proc.cmd.Process.Pid)-before).Seconds()/20*1000, "ms-CPU/s")
		d.proc.stop(b)
	}
}

// cpu is the time a process has run, by /proc/pid/stat (100 ticks a second).
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	var ticks int
	for _, s := range f[11:13] {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkSMSPart sends texts through the whole program to an emulated modem
// without latency, so that what is left is doorway's own time and its two
// fsyncs for each part, which are measured beside it on the same disk.
// Budget: 30 ms beyond the modem's own time, fsync apart.
func BenchmarkSMSPart(b *testing.B) {
	const texts = 200
	for range b.N {
		s := newSMSBox(b)
		for i := range texts {
			if err := control.Call(b.Context(), s.dir, "sms.send", control.SMSSend{To: fmt.Sprintf("+4915551%04d", i), Text: "Pump 3 is down"}, nil); err != nil {
				b.Fatal(err)
			}
		}
		until(b, 2*time.Minute, func() (bool, string) {
			var q control.QueueAnswer
			if err := control.Call(b.Context(), s.dir, "queue.list", control.QueueList{Limit: 1}, &q); err != nil {
				b.Fatal(err)
			}
			return q.Counts[transports.Delivered] == texts, fmt.Sprintf("states %v", q.Counts)
		})
		var first, last time.Time
		n := 0
		for _, e := range s.log(b) {
			if e.Kind == emulator.LogSubmit {
				if n++; n == 1 {
					first = e.At
				}
				last = e.At
			}
		}
		if n != texts {
			b.Fatalf("%d parts reached the network, want %d", n, texts)
		}
		b.ReportMetric(float64(last.Sub(first).Microseconds())/1000/float64(n-1), "ms/part")
		b.ReportMetric(fsyncTime(b, s.dir), "ms/fsync")
		s.process.stop(b)
	}
}

// fsyncTime measures one small write with fsync in a folder, in ms.
func fsyncTime(b *testing.B, dir string) float64 {
	f, err := os.Create(filepath.Join(dir, "fsync-probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 50
	begun := time.Now()
	for range n {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(begun).Microseconds()) / 1000 / n
}

// smsBox is a box with an emulated modem in a process of its own, which
// outlives the box when that is killed.
type smsBox struct {
	*box
	emu     *process
	logFile string
	client  emulator.Client
}

func newSMSBox(t testing.TB, flags ...string) *smsBox {
	t.Helper()
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	dir := t.TempDir()
	s := &smsBox{logFile: filepath.Join(dir, "emulator.log"), client: emulator.Client{Socket: filepath.Join(dir, "emulator.sock")}}
	ready := make(chan string, 1)
	s.emu = start(t, func(line string) {
		select {
		case ready <- line:
		default:
		}
	}, append([]string{"emulate", "--pty-link", filepath.Join(dir, "modem"), "--log", s.logFile, "--control", s.client.Socket,
		"--phone", demoQuiet}, flags...)...)
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatalf("the emulator is not ready: %s", s.emu.stderr)
	}
	s.box = startBox(t, fmt.Sprintf("[[modem]]\nname = \"gsm0\"\ndevice = %q\n[sms]\ncountry = \"49\"\n", filepath.Join(dir, "modem")))
	return s
}

func (s *smsBox) log(t testing.TB) []emulator.Entry {
	t.Helper()
	l, err := emulator.ReadLog(s.logFile)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
