package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// open gives a pseudo-terminal's master and a Port on its slave. The slave
// stays open, as the emulator keeps it.
func open(t *testing.T, tweak func(*Config)) (master *os.File, p *Port) {
	t.Helper()
	m, s, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); s.Close() })
	c := Config{Path: s.Name(), LockDir: t.TempDir()}
	if tweak != nil {
		tweak(&c)
	}
	p, err = Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return m, p
}

func TestBytesAreRaw(t *testing.T) {
	m, p := open(t, nil)
	for _, s := range []string{"\x1b\r", "AT\r", "\x1a\x03\x11\x13\x00\xff\n"} {
		if _, err := p.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, m, len(s)); got != s {
			t.Errorf("the modem got %q, want %q", got, s)
		}
		if _, err := m.WriteString(s); err != nil {
			t.Fatal(err)
		}
		if got := read(t, p, len(s)); got != s {
			t.Errorf("we got %q, want %q", got, s)
		}
	}
}

func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The trap: serial's Read keeps descriptors in a set of 1,024 for select(2);
// a higher number panics in the reader goroutine and ends the process, which
// happens when a modem is plugged in again while a thousand clients are connected.
func TestTrapDescriptorAbove1024(t *testing.T) {
	for range 1100 {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			t.Skip("the limit of open files is below 1,200: raise ulimit -n")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
	m, p := open(t, nil)
	if fd := p.fd(t); fd < 1024 {
		t.Fatalf("descriptor %d, the test wants one above 1023", fd)
	}
	if _, err := p.Write([]byte("AT\r")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, 3); got != "AT\r" {
		t.Fatalf("the modem got %q", got)
	}
	if _, err := m.WriteString("OK\r"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, p, 3); got != "OK\r" {
		t.Fatalf("we got %q", got)
	}
	// And what the library does with the same descriptor: when this fails, the
	// trap is gone and port may be simpler.
	func() {
		defer func() {
			if recover() == nil {
				t.Error("serial.Port.Read no longer panics above descriptor 1023")
			}
		}()
		_, _ = p.ser.Read(make([]byte, 1)) // ignored: it panics
	}()
}

func (p *Port) fd(t *testing.T) (fd int) {
	t.Helper()
	if err := p.control(func(n int) error { fd = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// The trap: serial's Write has no deadline and stays stuck after Close.
func TestTrapStuckWriteEnds(t *testing.T) {
	_, p := open(t, func(c *Config) { c.WriteLimit = 100 * time.Millisecond })
	n, err := p.Write(make([]byte, 1<<20)) // nobody reads
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v; want a deadline", n, err)
	}
	if n >= 1<<20 {
		t.Errorf("%d bytes claimed", n)
	}
}

func TestTrapStuckWriteEndsByClose(t *testing.T) {
	_, p := open(t, func(c *Config) { c.WriteLimit = time.Minute })
	done := make(chan error, 1)
	go func() { _, err := p.Write(make([]byte, 1<<20)); done <- err }()
	closeSoon(t, p)
	wait(t, done)
}

// The trap: serial's Close closes the descriptor before it wakes the reader,
// and a timed read returns (0, nil).
func TestTrapCloseFreesPendingRead(t *testing.T) {
	_, p := open(t, nil)
	done := make(chan error, 1)
	go func() { _, err := p.Read(make([]byte, 1)); done <- err }()
	closeSoon(t, p)
	if err := wait(t, done); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v, want os.ErrClosed", err)
	}
}

func closeSoon(t *testing.T, p *Port) {
	t.Helper()
	time.AfterFunc(50*time.Millisecond, func() { p.Close() })
}

func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		if err == nil {
			t.Error("ended without an error")
		}
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("still stuck 30 s after Close")
	}
	return nil
}

// The trap: serial's Write after Close goes to the same descriptor number,
// which may be somebody else's connection by then.
func TestTrapWriteAfterClose(t *testing.T) {
	_, p := open(t, nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe() // takes the freed numbers
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := p.Write([]byte("AT+CMGD=1\r")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v, want os.ErrClosed", err)
	}
	w.Close()
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("somebody else got %q", b)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// The trap: modem lines do not exist on a pseudo-terminal, and asking serial
// for their initial state makes it refuse the port.
func TestTrapModemLinesOnPTY(t *testing.T) {
	_, p := open(t, nil)
	_, err := serial.Open(p.Path(), &serial.Mode{BaudRate: 9600, InitialStatusBits: &serial.ModemOutputBits{DTR: true}})
	if err == nil {
		t.Error("serial.Open with initial status bits works on a pseudo-terminal now")
	}
}

// The trap: exclusive mode stays with the terminal while its far end keeps it
// open: after kill -9 nobody but root could open it again.
func TestTrapExclusiveModeOutlivesProcess(t *testing.T) {
	m, s, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	defer s.Close()
	lock := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHolder$")
	cmd.Env = append(os.Environ(), "PORT_HOLD="+s.Name(), "PORT_LOCK="+lock)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open until Wait
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() { once.Do(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) }
	defer kill()
	if got := read(t, out, 4); got != "held" {
		t.Fatalf("holder says %q", got)
	}
	_, err = Open(Config{Path: s.Name(), LockDir: lock})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != cmd.Process.Pid || busy.Holder == "" {
		t.Fatalf("while held: %#v, want the holder %d", err, cmd.Process.Pid)
	}
	kill()
	p, err := Open(Config{Path: s.Name(), LockDir: lock})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if os.Geteuid() != 0 {
		return
	}
	// Root is let in either way, so the flag itself is looked at.
	var held int
	if err := p.control(func(fd int) (err error) { held, err = exclusive(fd); return err }); err != nil || held != 0 {
		t.Errorf("exclusive mode is %d (%v) on a pseudo-terminal", held, err)
	}
}

// TestHolder is the process that TestTrapExclusiveModeOutlivesProcess kills.
func TestHolder(t *testing.T) {
	path := os.Getenv("PORT_HOLD")
	if path == "" {
		t.Skip("only as a process of its own")
	}
	p, err := Open(Config{Path: path, LockDir: os.Getenv("PORT_LOCK")})
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("held")
	runtime.GC() // a port that nothing refers to would be closed by now
	untilEOF(t)
	p.Close()
}

// The trap: serial opens the device so that every program started later has it
// too, and holds the line when we have long closed it.
func TestTrapDescriptorIsInherited(t *testing.T) {
	_, p := open(t, nil)
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Skipf("no ls: %v", err)
	}
	if strings.Contains(string(out), p.Path()+"\n") {
		t.Errorf("a program that we start has %s open:\n%s", p.Path(), out)
	}
}

// Another program at the port is named, in whatever way it holds it.
func TestHolderIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the test becomes another user, which root may only")
	}
	m, s, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	defer s.Close()
	if err := os.Chmod(s.Name(), 0o666); err != nil {
		t.Fatal(err)
	}
	// TIOCEXCL stops those who are not root: the second process is such a one.
	dir, err := os.MkdirTemp("", "porttest")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bin, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(dir+"/other", bin, 0o755), os.Chmod(dir+"/other", 0o755), os.Mkdir(dir+"/lock", 0o777), os.Chmod(dir+"/lock", 0o777)); err != nil {
		t.Fatal(err)
	}
	start := func(role string) (*exec.Cmd, io.Reader) {
		cmd := exec.Command(dir+"/other", "-test.run=^TestOther$")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PORT_ROLE="+role, "PORT_PATH="+s.Name(), "PORT_LOCK="+dir+"/lock")
		if _, err := cmd.StdinPipe(); err != nil { // open until Wait
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd, out
	}
	holder, out := start("hold")
	if got := read(t, out, 4); got != "held" {
		t.Fatalf("holder says %q", got)
	}
	_, out = start("open")
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	want := "in use by other (pid " + strconv.Itoa(holder.Process.Pid) + ")"
	if !strings.Contains(string(b), want) {
		t.Errorf("the second says %q, want %q", b, want)
	}
}

// TestOther is the processes of TestHolderIsNamed.
func TestOther(t *testing.T) {
	path := os.Getenv("PORT_PATH")
	switch os.Getenv("PORT_ROLE") {
	case "hold":
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlSetInt(int(f.Fd()), unix.TIOCEXCL, 0); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("held")
		untilEOF(t)
		f.Close()
	case "open":
		p, err := Open(Config{Path: path, LockDir: os.Getenv("PORT_LOCK")})
		if err == nil {
			p.Close()
		}
		t.Logf("open: %v", err)
		os.Stdout.WriteString(fmt.Sprint(err))
	default:
		t.Skip("only as a process of its own")
	}
}

// untilEOF waits for the end of the process that has started this one. It
// reads, since a program in which everything waits for ever is ended as a deadlock.
func untilEOF(t *testing.T) {
	t.Helper()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
}

func TestHangUp(t *testing.T) {
	m, s, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(Config{Path: s.Name(), LockDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done := make(chan error, 1)
	go func() { _, err := p.Read(make([]byte, 1)); done <- err }()
	s.Close()
	m.Close()
	if err := wait(t, done); !HungUp(err) {
		t.Errorf("Read: %v, want a hang-up", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	plain := dir + "/plain"
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{dir + "/none": ErrAbsent, plain: ErrNotTerminal, os.DevNull: ErrNotTerminal, dir: ErrNotTerminal} {
		if _, err := Open(Config{Path: path, LockDir: dir}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	_, p := open(t, func(c *Config) { c.LockDir = dir })
	_, err := Open(Config{Path: p.Path(), LockDir: dir})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Errorf("second open: %#v, want busy with our own number", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p, err = Open(Config{Path: p.Path(), LockDir: dir})
	if err != nil {
		t.Errorf("after Close: %v", err)
	} else {
		p.Close()
	}
}

func TestTrace(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	m, p := open(t, func(c *Config) {
		c.Trace = func(dir byte, line string) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, string(dir)+line)
		}
	})
	for _, s := range []string{"\x1b\rAT", "+cpin=\"1234\"", "\r", "AT+CPIN?\r", "AT+CMGS=1\r", "00AB\x1a"} {
		if _, err := p.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	answer := "AT+CPIN=1234,5678\r\r\nOK\r\n> \x00\xff\r\n"
	if _, err := m.WriteString(answer); err != nil {
		t.Fatal(err)
	}
	read(t, p, len(answer))
	want := `><ESC>|>AT+cpin="****"|>AT+CPIN?|>AT+CMGS=1|>00AB<Ctrl-Z>|<AT+CPIN="****"|<OK|<> |<\x00\xff`
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("trace\n%s\nwant\n%s", got, want)
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		`AT+CPIN="1234"`:            `AT+CPIN="****"`,
		`AT+CMEE=1;+cpin=1234,"56"`: `AT+CMEE=1;+cpin="****"`,
		`AT+CLCK="SC",1,"1234"`:     `AT+CLCK="****"`,
		`AT+CPWD="SC","1","2"`:      `AT+CPWD="****"`,
		`AT+CPIN?`:                  `AT+CPIN?`,
		`AT+CPIN=?`:                 `AT+CPIN=?`,
		`+CPIN: SIM PIN`:            `+CPIN: SIM PIN`,
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%s) = %s, want %s", in, got, want)
		}
	}
}

func FuzzTracer(f *testing.F) {
	f.Add([]byte("AT+CPIN=\"1234\"\r\n> \x1a\x1b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr := tracer{dir: '<', out: func(_ byte, line string) {
			if len(line) > 5*maxTrace || strings.ContainsAny(line, "\r\n\x00") {
				t.Errorf("line %q", line)
			}
		}}
		tr.feed(b)
	})
}

// TestHolderUnderAnotherName: two device files of one device are one device.
func TestHolderUnderAnotherName(t *testing.T) {
	const device = "/dev/full" // nobody else has it open
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		t.Skip(err)
	}
	second := filepath.Join(t.TempDir(), "full")
	if err := unix.Mknod(second, unix.S_IFCHR|0o600, int(st.Rdev)); err != nil {
		t.Skipf("only root may make a device file: %v", err)
	}
	f, err := os.Open(second)
	if err != nil {
		t.Skipf("no devices in the folder for temporary files: %v", err)
	}
	defer f.Close()
	if pid, name := Holder(device); pid != 0 {
		t.Skipf("%s has %s open", name, device)
	}
	cmd := exec.Command("sleep", "600")
	cmd.Stdin = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // ignored: it is killed
	for _, path := range []string{device, second} {
		if pid, _ := Holder(path); pid != cmd.Process.Pid {
			t.Errorf("%s is held by %d, want %d", path, pid, cmd.Process.Pid)
		}
	}
	if pid, _ := Holder("/dev/doorway-nothing"); pid != 0 {
		t.Errorf("what is not there is held by %d", pid)
	}
}
