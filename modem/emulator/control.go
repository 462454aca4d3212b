package emulator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Request is one line to the control socket. Op is one of
//
//	send    a phone (From) texts the modem (Text)
//	call    a phone (From; "" withholds its number) calls the modem, which rings Rings times
//	log     messages of the phone Number
//	phones  all phones
//	submits what the service centre accepted
//	set     mode and answer of the phone Number; or, with Name, a setting of the modem (Emulator.Set)
//	fault   adds Fault; without one, ends all faults
//	script  loads the ready-made behaviour Name, or the rules in Text; with neither, makes the modem honest
//	urc     raw bytes in Text go to the client
//	vanish  the port hangs up, and returns after Back
//	latency of the network, in Back
type Request struct {
	Op     string        `json:"op"`
	From   string        `json:"from,omitempty"`
	Number string        `json:"number,omitempty"`
	Text   string        `json:"text,omitempty"`
	Mode   Mode          `json:"mode,omitempty"`
	Answer *string       `json:"answer,omitempty"`
	Name   string        `json:"name,omitempty"`
	Value  string        `json:"value,omitempty"`
	Fault  *Fault        `json:"fault,omitempty"`
	Back   time.Duration `json:"back,omitempty"` // nanoseconds
	Rings  int           `json:"rings,omitempty"`
}

// Response answers a Request. Error is empty when all went well.
type Response struct {
	Error    string         `json:"error,omitempty"`
	Messages []PhoneMessage `json:"messages,omitempty"`
	Phones   []PhoneConfig  `json:"phones,omitempty"`
	Submits  []Submit       `json:"submits,omitempty"`
}

// Control answers one request.
func (e *Emulator) Control(r Request) Response {
	var out Response
	if err := e.control(r, &out); err != nil {
		out.Error = err.Error()
	}
	return out
}

func (e *Emulator) control(r Request, out *Response) error {
	switch r.Op {
	case "send":
		if r.From == "" {
			return errors.New("send: which phone? give its number")
		}
		return e.Phone(r.From).send(e, r.Text)
	case "call":
		if r.Rings < 1 || r.Rings > 100 {
			return errors.New("call: it can ring 1 to 100 times")
		}
		e.Call(r.From, r.Rings, ringEvery)
	case "log":
		out.Messages = e.Phone(r.Number).Messages()
	case "phones":
		out.Phones = e.net.Phones()
	case "submits":
		out.Submits = e.Submits()
	case "set":
		return e.controlSet(r)
	case "fault":
		if r.Fault == nil {
			e.net.ClearFaults()
			return nil
		}
		e.net.Fail(*r.Fault)
	case "script":
		return e.controlScript(r)
	case "urc":
		e.Send(r.Text)
	case "vanish":
		e.Vanish(r.Back)
	case "latency":
		e.net.SetLatency(r.Back)
	default:
		return fmt.Errorf("unknown operation %q", r.Op)
	}
	return nil
}

func (e *Emulator) controlSet(r Request) error {
	if r.Name != "" {
		return e.Set(r.Name, r.Value)
	}
	if r.Number == "" {
		return errors.New("set: give the number of a phone, or the name of a setting")
	}
	p := e.Phone(r.Number)
	if r.Answer != nil {
		p.SetAnswer(*r.Answer)
	}
	if r.Mode != "" {
		return p.SetMode(r.Mode)
	}
	return nil
}

func (e *Emulator) controlScript(r Request) error {
	switch {
	case r.Name != "":
		return e.LoadScript(r.Name)
	case r.Text != "":
		rules, err := ParseScript(r.Text)
		if err != nil {
			return err
		}
		e.AddRules(rules...)
	default:
		e.ClearRules()
	}
	return nil
}

// listen opens the control socket, readable by its owner only.
func listen(path string) (*net.UnixListener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	var l *net.UnixListener
	err := shortPath(path, func(p string) (err error) {
		old := syscall.Umask(0o177)
		defer syscall.Umask(old)
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // its name may be the short one
	return l, nil
}

// removeStale removes a socket that nobody serves any more.
func removeStale(path string) error {
	if fi, err := os.Lstat(path); err != nil || fi.Mode()&os.ModeSocket == 0 {
		return nil // nothing there, or listening says what is wrong
	}
	err := shortPath(path, func(p string) error {
		c, err := net.Dial("unix", p)
		if err == nil {
			_ = c.Close() // ignored: nothing was sent
		}
		return err
	})
	if err == nil {
		return fmt.Errorf("another emulator serves %s", path)
	}
	return os.Remove(path)
}

// shortPath calls f with a path that fits a socket address (sun_path holds 108
// bytes): long ones are reached through a descriptor of their folder.
func shortPath(path string, f func(string) error) error {
	if len(path) < 100 {
		return f(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// ServeControl answers requests on a unix socket, mode 0600, until ctx ends;
// then it removes the socket.
func (e *Emulator) ServeControl(ctx context.Context, path string) error {
	l, err := listen(path)
	if err != nil {
		return err
	}
	e.serve(ctx, l)
	_ = os.Remove(path) // ignored: the next start removes it too
	return nil
}

func (e *Emulator) serve(ctx context.Context, l *net.UnixListener) {
	var wg sync.WaitGroup
	defer wg.Wait() // serve owns the connections
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		wg.Go(func() {
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			in := bufio.NewScanner(c)
			in.Buffer(nil, 1<<20)
			out := json.NewEncoder(c)
			for in.Scan() {
				var r Request
				answer := Response{}
				if err := json.Unmarshal(in.Bytes(), &r); err != nil {
					answer.Error = "not a request: " + err.Error()
				} else {
					answer = e.Control(r)
				}
				if out.Encode(answer) != nil {
					return
				}
			}
		})
	}
}
