// Package port opens the serial port of a modem, moves bytes over it and
// finds it in the system: by path, by USB identity or by itself ("auto").
//
// Bytes go through an os.File of our own, opened non-blocking, so that reads
// and writes have deadlines and Close frees both. go.bug.st/serial is opened
// beside it for the terminal settings only: its Read waits in select(2), which
// cannot hold a descriptor above 1023, and its Write can neither time out nor
// notice Close. Both stay open until Close, because some USB drivers reset the
// line when the last descriptor goes.
//
// A port is held under a lock file of our own: exclusive mode (TIOCEXCL) does
// not stop a privileged process.
//
// The package knows nothing of AT commands but one thing: which bytes of a
// trace are a secret (3GPP TS 27.007 §8.3, +CPIN). It starts no goroutine.
package port

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Errors of Open; BusyError is the third.
var (
	// ErrAbsent says that there is no such device.
	ErrAbsent = errors.New("no such device")
	// ErrNotTerminal says that the path is something else than a serial port.
	ErrNotTerminal = errors.New("not a serial port")
	// ErrDenied says that the user may not open the device.
	ErrDenied = errors.New("permission denied")
)

// BusyError says that another process holds the port.
type BusyError struct {
	Path   string
	PID    int    // 0 when unknown
	Holder string // its command name, "" when unknown
}

func (e *BusyError) Error() string {
	switch {
	case e.Holder != "":
		return fmt.Sprintf("open %s: in use by %s (pid %d)", e.Path, e.Holder, e.PID)
	case e.PID != 0:
		return fmt.Sprintf("open %s: in use by pid %d", e.Path, e.PID)
	}
	return fmt.Sprintf("open %s: in use by another process", e.Path)
}

// Config says what to open.
type Config struct {
	Path       string
	Baud       int           // 0 means 115200
	LockDir    string        // "" means os.TempDir
	WriteLimit time.Duration // limit of each Write, 0 means 2 s
	// Trace, when not nil, sees each line: dir is '>' for written, '<' for
	// read. PINs and passwords are masked. It is called from Read and Write, that
	// is by two goroutines.
	Trace func(dir byte, line string)
}

// maxPiece is how much goes to the device in one write(2).
const maxPiece = 1024

// Port is an open serial port. One goroutine may Read while another one
// Writes; Close may be called by any, and more than once.
type Port struct {
	path  string
	f     *os.File
	ser   serial.Port
	lock  *os.File
	limit time.Duration
	rx    *tracer
	tx    *tracer
}

// Open takes the lock, opens the device and makes it a raw line of 8 bits
// without parity and flow control. Errors are ErrAbsent, ErrNotTerminal,
// ErrDenied, a *BusyError, or of the system.
func Open(c Config) (*Port, error) {
	st, err := os.Stat(c.Path)
	if err != nil {
		return nil, openError(c.Path, err)
	}
	if st.Mode()&fs.ModeCharDevice == 0 {
		return nil, fmt.Errorf("open %s: %w", c.Path, ErrNotTerminal)
	}
	lock, err := takeLock(c.LockDir, c.Path)
	if err != nil {
		return nil, err
	}
	p := &Port{path: c.Path, lock: lock, limit: c.WriteLimit}
	if p.limit <= 0 {
		p.limit = 2 * time.Second
	}
	if c.Trace != nil {
		p.rx, p.tx = &tracer{dir: '<', out: c.Trace}, &tracer{dir: '>', out: c.Trace}
	}
	if err := p.open(c); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Port) open(c Config) error {
	var err error
	// Ours first: serial takes exclusive mode, which would shut us out.
	p.f, err = os.OpenFile(c.Path, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return openError(c.Path, err)
	}
	if err := p.control(func(fd int) error {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	}); err != nil {
		return fmt.Errorf("open %s: %w", c.Path, ErrNotTerminal)
	}
	baud := c.Baud
	if baud == 0 {
		baud = 115200
	}
	syscall.ForkLock.RLock() // nothing is started between the two
	p.ser, err = serial.Open(c.Path, &serial.Mode{BaudRate: baud, DataBits: 8})
	if err == nil {
		closeOnExec(c.Path)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		var pe *serial.PortError
		if errors.As(err, &pe) && pe.Code() == serial.PortBusy {
			return busy(c.Path)
		}
		return openError(c.Path, err)
	}
	// A pseudo terminal and some adapters have no modem lines.
	_ = p.ser.SetDTR(true) // ignored: ENOTTY on such devices
	_ = p.ser.SetRTS(true) // ignored: as above
	return p.control(func(fd int) error {
		if isPTY(fd) {
			// The far end may keep the pseudo terminal open: then exclusive
			// mode would outlive a killed process and shut out the next one.
			_ = unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) // ignored: only a hung-up line refuses
		}
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return fmt.Errorf("open %s: %w", c.Path, err)
		}
		t.Cflag &^= unix.HUPCL // no drop of DTR at the last close
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
			return fmt.Errorf("open %s: %w", c.Path, err)
		}
		return nil
	})
}

// control runs f on the descriptor without taking it out of the poller, as
// os.File.Fd would.
func (p *Port) control(f func(fd int) error) error {
	rc, err := p.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("control %s: %w", p.path, err)
	}
	var inner error
	if err := rc.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return fmt.Errorf("control %s: %w", p.path, err)
	}
	return inner
}

// isPTY tells a pseudo terminal by its device number (Linux: majors 136 to 143).
func isPTY(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	m := unix.Major(uint64(st.Rdev))
	return m >= 136 && m <= 143
}

// Path is what was opened.
func (p *Port) Path() string { return p.path }

// Read waits for bytes. A device that went away gives an error for which
// HungUp is true; Close gives os.ErrClosed.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	if n > 0 && p.rx != nil {
		p.rx.feed(b[:n])
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write writes all of b in pieces. It ends with os.ErrDeadlineExceeded when
// the device takes nothing for the limit; n says how much it took.
func (p *Port) Write(b []byte) (n int, err error) {
	if p.tx != nil {
		p.tx.feed(b)
	}
	if err := p.f.SetWriteDeadline(time.Now().Add(p.limit)); err != nil {
		return 0, fmt.Errorf("write %s: %w", p.path, os.ErrClosed) // the only reason, and its error is not exported
	}
	for n < len(b) {
		m, err := p.f.Write(b[n:min(len(b), n+maxPiece)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close frees a pending Read and Write and gives the port and its lock back.
func (p *Port) Close() error {
	var errs []error
	if p.f != nil {
		if err := p.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if p.ser != nil {
		if err := p.ser.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	if p.lock != nil {
		if err := p.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// HungUp tells whether err of Read or Write means that the device is gone.
func HungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EIO) ||
		errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENODEV)
}

// openError maps the system's errors to ours.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO),
		errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EIO):
		return fmt.Errorf("open %s: %w", path, ErrAbsent)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open %s: %w", path, ErrDenied)
	case errors.Is(err, syscall.EBUSY):
		return busy(path)
	case errors.Is(err, syscall.ENOTTY):
		return fmt.Errorf("open %s: %w", path, ErrNotTerminal)
	}
	var pe *serial.PortError
	if errors.As(err, &pe) {
		switch pe.Code() {
		case serial.PermissionDenied:
			return fmt.Errorf("open %s: %w", path, ErrDenied)
		case serial.PortNotFound:
			return fmt.Errorf("open %s: %w", path, ErrAbsent)
		}
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// name makes a file name of a device's identity.
func name(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '_'
	}, strings.TrimPrefix(filepath.Clean(id), "/"))
}

// Interrupt makes a pending Read and all later ones end with
// os.ErrDeadlineExceeded, until Resume.
func (p *Port) Interrupt() { _ = p.f.SetReadDeadline(time.Unix(1, 0)) } // ignored: fails on a closed port only, where Read ends anyway

// Resume ends the effect of Interrupt.
func (p *Port) Resume() { _ = p.f.SetReadDeadline(time.Time{}) } // ignored: as above
