package c2s

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkResume100 measures the server's CPU time of a resumption after a
// lost link, with 100 unacknowledged messages of 300 bytes: from <resume/> to
// the last of them and the client's acknowledgement. cpu-µs/link is that of
// the whole new link, with TLS and SCRAM-SHA-256.
func BenchmarkResume100(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", secure), func(b *testing.B) {
			const count = 100
			c := startChild(b)
			alice, bob := c.login("user0", "phone"), c.login("user1", "desk")
			full, id := alice.full, alice.resumable()
			one := fmt.Sprintf("<message type='chat' id='m0000000' to='%s'><body>%s</body></message>", full, strings.Repeat("x", 220))
			taken := 0
			// round trip: the server has handled what was sent.
			settle := func(p *peer) {
				p.send("<iq type='get' id='p' to='%s'><x xmlns='some:thing'/></iq>", home)
				p.expect("id='p'")
			}
			receive := func() {
				for range count {
					if s := alice.next(); !strings.HasPrefix(s, "<message ") {
						alice.expect("<message ")
					}
				}
			}
			var spent, link time.Duration
			b.ReportAllocs()
			for b.Loop() {
				bob.send(strings.Repeat(one, count))
				settle(bob)
				receive() // written, and not acknowledged
				alice.conn.Close()
				eventually(b, "the lost link is not noticed", func() bool { return c.ask("conns") == 1 })
				before := c.ask("cpu")
				if secure {
					alice = c.dialTLS(nil)
				} else {
					alice = c.dial()
				}
				alice.open()
				alice.scram("user0")
				alice.open()
				start := c.ask("cpu")
				alice.send("<resume xmlns='%s' previd='%s' h='%d'/>", nsSM, id, taken)
				alice.expect("<resumed ")
				receive()
				taken += count
				alice.expect("<r ")
				alice.send("<a xmlns='%s' h='%d'/><r xmlns='%s'/>", nsSM, taken, nsSM)
				alice.expect("<a ")
				end := c.ask("cpu")
				spent += time.Duration(end - start)
				link += time.Duration(end - before)
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/resume")
			b.ReportMetric(float64(link.Microseconds())/float64(b.N), "cpu-µs/link")
		})
	}
}

// BenchmarkIdleAbsent is the memory of a session that waits for its client.
func BenchmarkIdleAbsent(b *testing.B) {
	benchmarkIdle(b, true, func(p *peer) {
		p.resumable()
		p.conn.Close()
	})
}
