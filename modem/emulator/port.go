package emulator

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// wire is what bytes go over.
type wire interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// port is a pseudo-terminal. The slave stays open here too, so that the
// master never reads an error when a client closes its end. A wire that was
// attached has no slave.
type port struct {
	master wire
	slave  *os.File
}

// name is where a client opens it; "" for a wire that was attached.
func (p *port) name() string {
	if p.slave == nil {
		return ""
	}
	return p.slave.Name()
}

// openPort makes a raw pseudo-terminal and points the link at its slave. On
// Linux both ends share the line settings, so setting the slave sets both.
func openPort(link string) (*port, error) {
	blocking, s, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open pseudo-terminal: %w", err)
	}
	defer blocking.Close()
	m, err := nonblocking(blocking)
	if err != nil {
		_ = s.Close() // ignored: nothing was written
		return nil, fmt.Errorf("open pseudo-terminal: %w", err)
	}
	p := &port{m, s}
	if _, err := term.MakeRaw(int(s.Fd())); err != nil {
		p.close("")
		return nil, fmt.Errorf("set %s raw: %w", s.Name(), err)
	}
	if link == "" {
		return p, nil
	}
	tmp := filepath.Join(filepath.Dir(link), fmt.Sprintf(".%s.%d", filepath.Base(link), os.Getpid()))
	_ = os.Remove(tmp) // ignored: usually it is not there, and Symlink says when it stays
	if err = os.Symlink(s.Name(), tmp); err == nil {
		err = os.Rename(tmp, link)
	}
	if err != nil {
		p.close("")
		return nil, fmt.Errorf("link %s to %s: %w", link, s.Name(), err)
	}
	return p, nil
}

// nonblocking returns the same terminal in the hands of the runtime's poller.
// pty.Open leaves it in blocking mode, where Close does not free a Read and
// deadlines do nothing.
func nonblocking(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // ignored: the first error counts
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// close ends both ends; a client sees a hang-up. The link goes if it is ours.
func (p *port) close(link string) {
	if link != "" && p.slave != nil {
		if to, err := os.Readlink(link); err == nil && to == p.slave.Name() {
			_ = os.Remove(link) // ignored: a stale link leads nowhere
		}
	}
	_ = p.master.Close() // ignored: nothing is buffered in a terminal
	if p.slave != nil {
		_ = p.slave.Close() // ignored: as above
	}
}
