package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/xmpp/jid"
	"doorway/xmpp/xmpptest"
)

// BenchmarkGroupOfEverybody reports what 2,000 people who all see each other
// and are online over TLS cost the whole program: the CPU time of its process for a change of presence,
// for each who gets it; for a login, with the presence of all and beyond what a login
// costs anyway and one's own presence costs; and for an edit that all see. Budgets: 10 µs, 5 ms, 40 ms.
// Beside it: what a process needs that only writes as much to as many clients, before and
// after; and another label for the group, with the time until the command is answered.
func BenchmarkGroupOfEverybody(b *testing.B) {
	const people, changes, logins, edits = 2000, 30, 10, 10
	for range b.N {
		c := newEveryone(b, people)
		alone := c.cost(logins, func(i int) { c.login(fmt.Sprint("alone", i)) })
		floor := floorCost(b, people, changes)
		one := c.clients[0]
		presence := c.cost(changes, func(i int) { c.send(one, fmt.Sprintf("<presence><priority>%d</priority></presence>", i)) })
		login := c.cost(logins, func(i int) { c.login(fmt.Sprint("late", i)) })
		edit := c.cost(edits, func(i int) {
			name := fmt.Sprintf("Renamed %d", i)
			c.call("people.edit", control.PersonEdit{Who: "user0", Name: &name})
		})
		floor = (floor + floorCost(b, people, changes)) / 2
		answered := time.Duration(0)
		relabel := c.cost(1, func(int) {
			label, begun := "Another Label", time.Now()
			c.call("group.edit", control.GroupEdit{ID: "all", Label: &label})
			answered = time.Since(begun)
		})
		b.ReportMetric(presence*1000/people, "µs/recipient")
		b.ReportMetric(floor, "µs/bare-write")
		b.ReportMetric(relabel/1000, "s/label")
		b.ReportMetric(float64(answered.Milliseconds()), "ms/label-answered")
		b.ReportMetric(login-alone-presence, "ms/login")
		b.ReportMetric(login, "ms/login-all-in-all")
		b.ReportMetric(edit, "ms/edit")
		b.ReportMetric(rss(b, c.box.cmd.Process.Pid), "MiB-RSS")
		c.box.stop(b)
	}
}

// everyone is a running program with many clients that read and do not look.
type everyone struct {
	b       *testing.B
	box     *box
	clients []*xmpptest.Client
	read    atomic.Int64 // bytes, by all clients
	opts    xmpptest.Options
	addr    string
	group   sync.WaitGroup
}

func newEveryone(b *testing.B, n int) *everyone {
	c := &everyone{b: b, box: startBox(b, "")}
	c.addr = c.box.addr(b, "XMPP")
	c.opts = xmpptest.Options{Domain: "office.localhost", Password: "correct horse", TLS: xmpptest.StartTLS,
		TLSConfig: &tls.Config{RootCAs: roots(b, filepath.Join(c.box.dir, "ca", "ca.pem")), MinVersion: tls.VersionTLS13}}
	for i := range n {
		c.call("user.add", control.UserAdd{Local: fmt.Sprint("user", i), Password: "correct horse", Name: fmt.Sprintf("Person Number %d", i)})
	}
	for i := range 10 {
		c.call("user.add", control.UserAdd{Local: fmt.Sprint("alone", i), Password: "correct horse"})
		c.call("user.add", control.UserAdd{Local: fmt.Sprint("late", i), Password: "correct horse"})
	}
	members := make([]string, 0, n+10)
	for i := range n {
		members = append(members, fmt.Sprint("user", i))
	}
	for i := range 10 {
		members = append(members, fmt.Sprint("late", i))
	}
	visible, label := "members", "Everybody"
	c.call("group.add", control.GroupEdit{ID: "all", Label: &label, VisibleTo: &visible, Members: members})
	list := make([]*xmpptest.Client, n)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				list[i] = c.login(fmt.Sprint("user", i))
			}
		})
	}
	wg.Wait()
	c.clients = list
	b.Cleanup(func() {
		for _, x := range list {
			if x != nil {
				_ = x.Kill() // ignored: it is done
			}
		}
		c.group.Wait()
	})
	return c
}

func (c *everyone) call(what string, request any) {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := control.Call(ctx, c.box.dir, what, request, nil); err != nil {
		c.b.Fatalf("%s: %v", what, err)
	}
}

func (c *everyone) send(x *xmpptest.Client, xml string) {
	if err := x.Send(xml); err != nil {
		c.b.Error(err)
	}
}

// login has somebody be there, and read from then on.
func (c *everyone) login(user string) *xmpptest.Client {
	o := c.opts
	o.User = user
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	x, err := xmpptest.Dial(ctx, c.addr, o)
	if err != nil {
		c.b.Error(err)
		return nil
	}
	if _, err := x.Get(ctx, jid.JID{}, "<query xmlns='jabber:iq:roster'/>"); err != nil {
		c.b.Error(err)
	}
	c.send(x, "<presence><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>")
	c.group.Go(func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := x.Conn().Read(buf)
			c.read.Add(int64(n))
			if err != nil {
				return // io.EOF, or killed
			}
		}
	})
	return x
}

// quiet waits until the clients have read all that comes: nothing for three seconds.
func (c *everyone) quiet() {
	for last, same := int64(-1), 0; same < 3; same++ {
		wait(c.b, time.Second)
		if now := c.read.Load(); now != last {
			last, same = now, 0
		}
	}
}

// cost is the CPU time of the program for one of n things, in ms.
func (c *everyone) cost(n int, do func(i int)) float64 {
	c.quiet()
	before := cpuOf(c.b, c.box.cmd.Process.Pid)
	profiling(c.b, c.box.process)
	for i := range n {
		do(i)
	}
	c.quiet()
	profiling(c.b, c.box.process)
	return float64((cpuOf(c.b, c.box.cmd.Process.Pid) - before).Microseconds()) / 1000 / float64(n)
}
