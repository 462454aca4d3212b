package c2s

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// start is what a client does after bind.
func (p *peer) start() {
	p.t.Helper()
	p.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	p.expect("id='r'", "type='result'")
	p.expect("<presence")
}

// crowd logs n clients in, eight at a time.
func (c *child) crowd(n int, first int, secure bool) []*peer {
	c.b.Helper()
	peers := make([]*peer, n)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				user := fmt.Sprintf("user%d", first+i)
				if secure {
					peers[i] = c.loginTLS(user, "phone")
				} else {
					peers[i] = c.login(user, "phone")
				}
				peers[i].start()
			}
		})
	}
	wg.Wait()
	return peers
}

const idlers = 1000

func benchmarkIdle(b *testing.B, secure bool, after func(*peer)) {
	for b.Loop() {
		c := startChild(b)
		for _, p := range c.crowd(50, 100_000, secure) { // code and pools are warm
			p.conn.Close()
		}
		eventually(b, "the first clients do not leave", func() bool { return c.ask("conns") == 0 })
		before := c.settled()
		peers := c.crowd(idlers, 0, secure)
		if after != nil {
			for _, p := range peers {
				after(p)
			}
		}
		grown := c.settled() - before
		b.ReportMetric(float64(grown)/idlers, "KiB/session")
		b.ReportMetric(float64(before)/1024, "MiB-before")
	}
}

func BenchmarkIdlePlain(b *testing.B) { benchmarkIdle(b, false, nil) }

func BenchmarkIdleTLS(b *testing.B) { benchmarkIdle(b, true, nil) }

// BenchmarkIdleTLSAfter100KB measures the same after each client has sent
// 100 KB, in records as large as TLS has them, and received 100 KB.
func BenchmarkIdleTLSAfter100KB(b *testing.B) {
	body := strings.Repeat("0123456789", 10_000)
	benchmarkIdle(b, true, func(p *peer) {
		p.send("<message to='%s'><body>%s</body></message>", p.full, body)
		p.expect(body)
	})
}

// loginExchanges is how often a client waits for the server while it logs in:
// header, auth, response, header, bind, roster and presence together.
const loginExchanges = 6

// BenchmarkLogin compares the server's CPU time of a login (direct TLS 1.3,
// SCRAM-SHA-256, bind, roster, first presence) with that of a bare TLS
// handshake in the same process. The floor is that of a handshake followed by
// as many exchanges of 200 bytes, echoed by crypto/tls alone.
func BenchmarkLogin(b *testing.B) {
	c := startChild(b)
	for _, p := range c.crowd(50, 100_000, true) {
		p.conn.Close()
	}
	const round = 400
	conf := c.tlsConfig()
	conf.NextProtos = nil
	open := make([]net.Conn, round)
	handshake := func(exchanges int) net.Conn {
		t, err := tls.Dial("tcp", c.bare, conf)
		if err != nil {
			b.Error(err)
			return nil
		}
		buf := make([]byte, 200)
		for range exchanges {
			if _, err = t.Write(buf); err == nil {
				_, err = io.ReadFull(t, buf)
			}
			if err != nil {
				b.Error(err)
			}
		}
		return t
	}
	// Eight clients at a time, as when an office comes to work.
	each := func(f func(i int)) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < round; i += 8 {
					f(i)
				}
			})
		}
		wg.Wait()
	}
	handshakes := func(exchanges int) func() {
		return func() {
			each(func(i int) { open[i] = handshake(exchanges) })
		}
	}
	logins := func() {
		each(func(i int) {
			p := c.loginTLS(fmt.Sprintf("user%d", i), "phone")
			p.start()
			open[i] = p.conn
		})
	}
	measure := func(f func()) time.Duration {
		before := c.ask("cpu")
		f()
		spent := time.Duration(c.ask("cpu") - before)
		for _, conn := range open { // leaving is not measured
			_ = conn.Close() // ignored: it is done
		}
		eventually(b, "the clients do not leave", func() bool { return c.ask("conns") == 0 })
		return spent
	}
	measure(handshakes(0))
	measure(logins)
	var bareTime, echoTime, loginTime time.Duration
	n := 0
	for b.Loop() {
		bareTime += measure(handshakes(0))
		echoTime += measure(handshakes(loginExchanges))
		loginTime += measure(logins)
		n += round
	}
	b.ReportMetric(float64(loginTime)/float64(bareTime), "x-bare-tls")
	b.ReportMetric(float64(echoTime)/float64(bareTime), "floor-x-bare-tls")
	b.ReportMetric(float64(loginTime.Microseconds())/float64(n), "cpu-µs/login")
	b.ReportMetric(float64(bareTime.Microseconds())/float64(n), "cpu-µs/bare")
}

// BenchmarkRelay carries 100,000 chat messages of 300 bytes between two
// clients at full speed, and reports the server's CPU time for all of them.
func BenchmarkRelay(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", secure), func(b *testing.B) {
			const count = 100_000
			c := startChild(b)
			peers := c.crowd(2, 0, secure)
			alice, bob := peers[0], peers[1]
			one := fmt.Sprintf("<message type='chat' id='m0000000' to='%s'><body>%s</body></message>", bob.full, strings.Repeat("x", 220))
			some := strings.Repeat(one, 50)
			var spent time.Duration
			for b.Loop() {
				before := c.ask("cpu")
				go func() {
					for range count / 50 {
						if _, err := io.WriteString(alice.conn, some); err != nil {
							b.Error(err)
							return
						}
					}
				}()
				for range count {
					bob.next()
				}
				spent += time.Duration(c.ask("cpu") - before)
			}
			b.ReportMetric(spent.Seconds()/float64(b.N), "cpu-s/100k")
		})
	}
}
