package emulator

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// peer is a terminal program: it writes bytes to the port and collects what comes.
type peer struct {
	t    *testing.T
	f    *os.File
	buf  []byte
	seen string // what was read and given out
}

// start runs an emulator for the time of the test.
func start(t *testing.T, cfg Config) *Emulator {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = e.Run(ctx) }() // ignored: nil always
	t.Cleanup(func() { cancel(); <-ended })
	return e
}

func dial(t *testing.T, e *Emulator) *peer {
	t.Helper()
	f, err := os.OpenFile(e.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &peer{t: t, f: f}
}

func (p *peer) write(s string) {
	p.t.Helper()
	if _, err := p.f.WriteString(s); err != nil {
		p.t.Fatal(err)
	}
}

// until reads until want has come and returns everything up to its end.
func (p *peer) until(want string) string {
	p.t.Helper()
	_ = p.f.SetReadDeadline(time.Now().Add(30 * time.Second))
	tmp := make([]byte, 4096)
	for {
		if i := strings.Index(string(p.buf), want); i >= 0 {
			s := string(p.buf[:i+len(want)])
			p.buf = p.buf[i+len(want):]
			p.seen += s
			return s
		}
		n, err := p.f.Read(tmp)
		if err != nil {
			p.t.Fatalf("waiting for %q, have %q: %v", want, p.buf, err)
		}
		p.buf = append(p.buf, tmp[:n]...)
	}
}

// quiet checks that nothing comes for a while.
func (p *peer) quiet(d time.Duration) {
	p.t.Helper()
	_ = p.f.SetReadDeadline(time.Now().Add(d))
	tmp := make([]byte, 4096)
	n, _ := p.f.Read(tmp)
	if p.buf = append(p.buf, tmp[:n]...); len(p.buf) > 0 {
		p.t.Fatalf("unexpected %q", p.buf)
	}
}

var finalResult = regexp.MustCompile(`\r\n(OK|ERROR|\+CM[SE] ERROR: [^\r]*|NO CARRIER)\r\n|\r\n> `)

// at sends a command and returns its answer up to the final result.
func (p *peer) at(cmd string) string {
	p.t.Helper()
	p.write(cmd + "\r")
	_ = p.f.SetReadDeadline(time.Now().Add(30 * time.Second))
	tmp := make([]byte, 4096)
	for {
		if i := finalResult.FindIndex(p.buf); i != nil {
			s := string(p.buf[:i[1]])
			p.seen += s
			p.buf = p.buf[i[1]:]
			return s
		}
		n, err := p.f.Read(tmp)
		if err != nil {
			p.t.Fatalf("%s: have %q: %v", cmd, p.buf, err)
		}
		p.buf = append(p.buf, tmp[:n]...)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("did not happen: %s", what)
		}
	}
}
