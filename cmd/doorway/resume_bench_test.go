package main

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doorway/xmpp/xmpptest"
)

// cpuOf is the CPU time a process has used (clock_getcpuclockid(3)).
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkResume100 measures a resumption with 100 unacknowledged messages of
// 300 bytes in the whole program: from <resume/> until the server has handled
// the client's acknowledgement of them all. "sent" are those that were written
// before the link was lost, "kept" those that came afterwards, whose rows on
// disk are erased. The CPU time of one that came back with nothing to send
// again is in "empty"; login and TLS are not in any.
func BenchmarkResume100(b *testing.B) {
	for _, kind := range []string{"empty", "sent", "kept"} {
		b.Run(kind, func(b *testing.B) {
			x := startBox(b, "")
			for _, name := range []string{"alice", "bob"} {
				if out, code := x.run(b, "correct horse\n", "user", "add", name); code != 0 {
					b.Fatal(out)
				}
			}
			ca := filepath.Join(x.dir, "ca", "ca.pem")
			dial := func(noBind bool) *chatter {
				c, err := xmpptest.Dial(b.Context(), x.addr(b, "XMPP"), xmpptest.Options{
					Domain: "office.localhost", User: "bob", Password: "correct horse", Resource: "phone", TLS: xmpptest.StartTLS,
					TLSConfig: &tls.Config{RootCAs: roots(b, ca), MinVersion: tls.VersionTLS13}, NoBind: noBind,
				})
				if err != nil {
					b.Fatal(err)
				}
				return &chatter{c}
			}
			bob := &phone{t: b, dial: dial, got: map[string]int{}}
			bob.fresh()
			bob.take(100 * time.Millisecond)
			alice := dialClient(b, x.addr(b, "XMPP"), ca, "office.localhost", "alice", "correct horse")
			if err := alice.Send("<enable xmlns='" + smSpace + "'/>"); err != nil {
				b.Fatal(err)
			}
			var batch strings.Builder
			for i := range 100 {
				fmt.Fprintf(&batch, "<message type='chat' id='m%d' to='bob@office.localhost/phone'><body>%s</body></message>", i, strings.Repeat("x", 220))
			}
			posted, safe := 0, 0
			post := func() { // returns when all is on disk, in the archive too: its commit is not the resumption's
				say := batch.String()
				for posted += 100; safe < posted; say = "" {
					if err := alice.Send(say + "<r xmlns='" + smSpace + "'/>"); err != nil {
						b.Fatal(err)
					}
					el, err := alice.Element(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					if h, err := strconv.Atoi(el.Attr("h")); err == nil && el.Name.Local == "a" {
						safe = h
					}
				}
			}
			var spent time.Duration
			b.ReportAllocs()
			for b.Loop() {
				if kind == "sent" {
					post()
				}
				before := bob.handled
				bob.lose()
				if kind == "sent" {
					bob.handled = before // it had not taken them
				}
				if kind == "kept" {
					post()
				}
				bob.chatter = dial(true)
				start := cpuOf(b, x.cmd.Process.Pid)
				bob.say(fmt.Sprintf("<resume xmlns='%s' previd='%s' h='%d'/>", smSpace, bob.id, bob.handled))
				bob.element("resumed")
				if kind != "empty" {
					for range 100 {
						if _, err := bob.Next(b.Context()); err != nil {
							b.Fatal(err)
						}
						bob.handled++
					}
				}
				bob.say(fmt.Sprintf("<a xmlns='%s' h='%d'/><r xmlns='%s'/>", smSpace, bob.handled, smSpace))
				bob.element("a")
				spent += cpuOf(b, x.cmd.Process.Pid) - start
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/resume")
			_ = alice.Close() // ignored: it is over
			_ = bob.Kill()
		})
	}
}
