// Package doctor looks a doorway box over and says, line by line, what is
// well, what is not and how to cure it. It works with the server running,
// whose own view it takes as Facts, and without, by looking at the
// configuration, the data folder, the ports and the modem's device itself. It
// changes nothing.
//
// Each check is a small function in the file of its subject: config.go,
// server.go, data.go, clock.go, certificate.go, ports.go, name.go, modem.go,
// queue.go. A check that has nothing to look at returns no line.
//
// Left out: what is not built yet (networks, alerts, webhooks).
//
// It starts no goroutine.
package doctor

import (
	"context"
	"net"
	"net/netip"
	"time"

	"doorway/gateway/certs"
	"doorway/gateway/config"
)

// Level is how well something is.
type Level string

// Levels, best first.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Line is one finding of the doctor.
type Line struct {
	Name  string `json:"name"` // what was looked at, stable: "certificate", "modem gsm0"
	Level Level  `json:"level"`
	Text  string `json:"text"`           // what was measured, a sentence
	Cure  string `json:"cure,omitempty"` // what to do, a sentence
}

func ok(name, text string) Line         { return Line{name, OK, text, ""} }
func warn(name, text, cure string) Line { return Line{name, Warn, text, cure} }
func fail(name, text, cure string) Line { return Line{name, Fail, text, cure} }

// Box is what is looked at. Zero fields of the second group mean the system's.
type Box struct {
	Config    *config.Config // nil when there is none that can be used
	ConfigErr error          // why Config is nil
	Dir       string         // the data folder
	Facts     *Facts         // nil: doorway does not run, or did not answer
	FactsErr  error          // why a running doorway was not asked
	Version   string         // of this program

	Now       func() time.Time
	Built     time.Time                                                         // of this program
	Resolver  Resolver                                                          // for the domain's name
	Addresses func() []netip.Addr                                               // of this box
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error) // to the box's own ports
	Processes string                                                            // /proc
	Rules     []string                                                          // the folders of udev rules
}

// Resolver is the part of *net.Resolver that the doctor needs.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Report is the outcome.
type Report struct {
	Result  Level  `json:"result"` // the worst level
	Running bool   `json:"running"`
	Lines   []Line `json:"lines"`
}

// Count returns how many lines have a level.
func (r Report) Count(l Level) int {
	n := 0
	for _, line := range r.Lines {
		if line.Level == l {
			n++
		}
	}
	return n
}

// checkLimit bounds one check that waits for somebody.
const checkLimit = 5 * time.Second

// Examine runs every check, in an order in which an earlier finding explains
// a later one.
func Examine(ctx context.Context, b Box) Report {
	b.fill()
	r := Report{Result: OK, Running: b.Facts != nil, Lines: []Line{}}
	for _, check := range []func(context.Context, *Box) []Line{
		configuration, server, watchdog, findings,
		clock, folder, disk, databases,
		ports, certificate, name,
		modems, modemManager, queue,
	} {
		r.Lines = append(r.Lines, check(ctx, &b)...)
	}
	switch {
	case r.Count(Fail) > 0:
		r.Result = Fail
	case r.Count(Warn) > 0:
		r.Result = Warn
	}
	return r
}

func (b *Box) fill() {
	if b.Now == nil {
		b.Now = time.Now
	}
	if b.Built.IsZero() {
		b.Built = certs.BuildTime()
	}
	if b.Resolver == nil {
		b.Resolver = net.DefaultResolver
	}
	if b.Addresses == nil {
		b.Addresses = ownAddresses
	}
	if b.Dial == nil {
		b.Dial = (&net.Dialer{}).DialContext
	}
	if b.Processes == "" {
		b.Processes = "/proc"
	}
	if b.Rules == nil {
		b.Rules = []string{"/etc/udev/rules.d", "/usr/lib/udev/rules.d"}
	}
}

func ownAddresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil // ignored: then no address is known as ours
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}
