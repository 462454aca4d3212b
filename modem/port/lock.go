package port

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// takeLock locks the file that stands for the device. It is named after the
// USB path, or after the resolved device path when there is none, and is never
// removed: removing it would let two processes lock two files.
func takeLock(dir, device string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return nil, openError(device, err)
	}
	id := real
	if c, ok := (System{}).describe(filepath.Base(real)); ok && strings.HasPrefix(real, "/dev/tty") {
		id = "usb-" + c.USBPath + "-" + strconv.Itoa(c.Interface)
	}
	path := filepath.Join(dir, "doorway-"+name(id)+".lock")
	const safe = unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|safe, 0o644)
	if errors.Is(err, os.ErrPermission) {
		// Another user made it; a lock needs no right to write.
		f, err = os.OpenFile(path, os.O_RDONLY|safe, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", device, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, lockedBy(f, device)
		}
		return nil, fmt.Errorf("lock %s: %w", device, err)
	}
	// The number only tells people who holds it; the lock itself is flock's.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // ignored: information only
	}
	return f, nil
}

// lockedBy names the process that wrote its number into the lock file.
func lockedBy(f *os.File, device string) error {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return &BusyError{Path: device}
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return &BusyError{Path: device}
	}
	return &BusyError{Path: device, PID: pid, Holder: processName(pid)}
}

func busy(device string) error {
	e := &BusyError{Path: device}
	e.PID, e.Holder = Holder(device)
	return e
}

// Holder looks for another process that has the device open, under whatever
// name, 0 when there is none. Without privileges it sees the caller's own
// processes only.
func Holder(device string) (pid int, command string) {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return 0, ""
	}
	number, character := deviceNumber(real)
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, ""
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() || isFork(pid) {
			continue
		}
		dir := filepath.Join("/proc", p.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			link := filepath.Join(dir, fd.Name())
			to, err := os.Readlink(link)
			if err != nil || !strings.HasPrefix(to, "/") { // gone, or a pipe or socket
				continue
			}
			held := to == real
			if !held && character {
				n, ok := deviceNumber(link)
				held = ok && n == number
			}
			if held {
				return pid, processName(pid)
			}
		}
	}
	return 0, ""
}

// node is what makes two names one device: its number, and for a
// pseudo-terminal the mounted devpts that the number belongs to (pts(4)).
type node struct{ number, mount uint64 }

// deviceNumber returns the device a name stands for, false when it stands for
// no character device. It opens nothing.
func deviceNumber(path string) (node, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return node{}, false
	}
	n := node{number: uint64(st.Rdev)}
	if major := unix.Major(n.number); major >= 136 && major <= 143 {
		n.mount = uint64(st.Dev)
	}
	return n, true
}

// isFork tells whether a process is one that we are starting and that does not
// run its own program yet: until then it has our descriptors.
func isFork(pid int) bool {
	if parent(pid) != os.Getpid() {
		return false
	}
	theirs, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return true // gone already
	}
	ours, err := os.ReadFile("/proc/self/cmdline")
	return err == nil && bytes.Equal(theirs, ours)
}

// parent is the number of the process that has started pid; 0 when it is gone.
func parent(pid int) int {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold anything (proc(5)).
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return n
}

// closeOnExec keeps the descriptors of a device from programs that we start:
// serial opens it without saying so.
func closeOnExec(device string) {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && to == real {
			unix.CloseOnExec(fd)
		}
	}
}

// processName is a process's name, "" when it is gone.
func processName(pid int) string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
