package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"doorway/modem/emulator"
)

// TestPartsPerMinute sends texts of one part through doorway, gammu-smsd and smstools, each on a modem and a network
// that need no time, and prints how many parts a minute the service centre got. It takes a minute or two and runs
// when DOORWAY_BENCH_SMS is set (`make bench-sms`); all three keep their queue on the same disk.
func TestPartsPerMinute(t *testing.T) {
	if os.Getenv("DOORWAY_BENCH_SMS") == "" {
		t.Skip("runs in make bench-sms")
	}
	own := rateOfDoorway(t, 3000)
	t.Logf("%-12s %7.0f parts a minute, %5.1f ms a part", "doorway", own, 60000/own)
	for _, p := range []struct {
		name, file, pkg string
		run             func(t *testing.T, device, dir string, n int) *exec.Cmd
		n               int
	}{
		{"gammu-smsd", "/usr/bin/gammu-smsd", "gammu-smsd", gammuSMSD, 30},
		{"smstools", "/usr/sbin/smsd", "smstools", smsTools, 60},
	} {
		if _, err := os.Stat(p.file); err != nil {
			t.Logf("%s is not there: install the Debian package %s", p.name, p.pkg)
			continue
		}
		rate := rateOfPeer(t, p.run, p.n)
		t.Logf("%-12s %7.0f parts a minute, %5.1f ms a part: doorway does %.0f times as many", p.name, rate, 60000/rate, own/rate)
	}
}

// rate is how many parts a minute the service centre got, the first tenth aside.
func rate(t *testing.T, e *emulator.Emulator, n int, limit time.Duration) float64 {
	t.Helper()
	until(t, limit, func() (bool, string) {
		return len(e.Submits()) >= n, fmt.Sprintf("%d of %d parts were sent", len(e.Submits()), n)
	})
	var at []time.Time
	for _, s := range e.Submits() {
		at = append(at, s.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	at = at[n/10 : n]
	return 60 * float64(len(at)-1) / at[len(at)-1].Sub(at[0]).Seconds()
}

func rateOfDoorway(t *testing.T, n int) float64 {
	var phones []string
	for i := range 50 {
		phones = append(phones, fmt.Sprintf("+49155502%02d", i))
	}
	m := newTwoModems(t, "", phones...)
	m.emus[1].Vanish(time.Hour)
	url := "http://" + m.addr(t, "HTTP")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var clients sync.WaitGroup // waited for below
	for c := range 4 {
		clients.Go(func() {
			for i := c; i < n; i += 4 {
				m.post(ctx, func() string { return url }, phones[i%len(phones)], fmt.Sprintf("text %d", i))
			}
		})
	}
	r := rate(t, m.emus[0], n, 5*time.Minute)
	clients.Wait()
	return r
}

// rateOfPeer runs another gateway on a modem of its own.
func rateOfPeer(t *testing.T, run func(t *testing.T, device, dir string, n int) *exec.Cmd, n int) float64 {
	var phones []emulator.PhoneConfig
	for i := range n {
		phones = append(phones, emulator.PhoneConfig{Number: fmt.Sprintf("+49155502%02d", i)})
	}
	dir := t.TempDir()
	e, err := emulator.New(emulator.Config{Link: filepath.Join(dir, "modem"), Phones: phones})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup // waited for below
	wg.Go(func() { _ = e.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	cmd := run(t, e.Path(), dir, n)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
		_ = cmd.Wait() // ignored: it was killed
	}()
	return rate(t, e, n, 4*time.Minute)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func gammuSMSD(t *testing.T, device, dir string, n int) *exec.Cmd {
	conf := "[gammu]\ndevice = " + device + "\nconnection = at\n[smsd]\nservice = files\ncommtimeout = 2\nreceivefrequency = 60\nstatusfrequency = 0\nresetfrequency = 0\nloopsleep = 1\n" +
		"logfile = " + filepath.Join(dir, "log") + "\n"
	for _, name := range []string{"inbox", "outbox", "sentsms", "errorsms"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		conf += name + "path = " + filepath.Join(dir, name) + "/\n"
	}
	for i := range n {
		write(t, filepath.Join(dir, "outbox", fmt.Sprintf("OUT+49155502%02d.txt", i)), fmt.Sprintf("text %d", i))
	}
	write(t, filepath.Join(dir, "gammurc"), conf)
	return exec.Command("/usr/bin/gammu-smsd", "-c", filepath.Join(dir, "gammurc"))
}

func smsTools(t *testing.T, device, dir string, n int) *exec.Cmd {
	conf := "devices = EMU\nloglevel = 3\ndelaytime = 1\ndelaytime_mainprocess = 1\nerrorsleeptime = 1\n"
	for _, name := range []string{"outgoing", "checked", "failed", "incoming", "sent", "report"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		conf += name + " = " + filepath.Join(dir, name) + "\n"
	}
	for _, name := range []string{"logfile", "infofile", "pidfile"} {
		conf += name + " = " + filepath.Join(dir, name) + "\n"
	}
	conf += "[EMU]\ndevice = " + device + "\nincoming = no\nbaudrate = 115200\nrtscts = no\ninit = AT+CNMI=2,1,0,1,0\n"
	for i := range n {
		write(t, filepath.Join(dir, "outgoing", fmt.Sprint(i)), fmt.Sprintf("To: 49155502%02d\n\ntext %d", i, i))
	}
	write(t, filepath.Join(dir, "smsd.conf"), conf)
	return exec.Command("/usr/sbin/smsd", "-t", "-c"+filepath.Join(dir, "smsd.conf"))
}
