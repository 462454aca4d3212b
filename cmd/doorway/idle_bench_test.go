package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/xmpp/jid"
	"doorway/xmpp/xmpptest"
)

// BenchmarkIdle reports what each of 1,000 idle sessions costs the whole
// program, with every module loaded: growth of VmRSS after it has become
// quiet. Budgets: 9 KiB in plain text, 22 KiB over TLS. A session over
// WebSocket should cost what one on TCP does.
func BenchmarkIdle(b *testing.B) {
	b.Run("plain", func(b *testing.B) { idleSessions(b, xmpptest.None, "") })
	b.Run("tls", func(b *testing.B) { idleSessions(b, xmpptest.StartTLS, "") })
	b.Run("ws", func(b *testing.B) { idleSessions(b, xmpptest.None, "HTTP") })
	b.Run("wss", func(b *testing.B) { idleSessions(b, xmpptest.None, "HTTPS") })
}

// dialIdle connects over TCP, or over WebSocket where a listener of HTTP is named.
func dialIdle(b *testing.B, x *box, listener string, o xmpptest.Options) (*xmpptest.Client, error) {
	if listener == "" {
		return xmpptest.Dial(b.Context(), x.addr(b, "XMPP"), o)
	}
	cfg := o.TLSConfig.Clone()
	if cfg.ServerName = o.Domain; listener == "HTTP" {
		cfg = nil
	}
	s, err := xmpptest.DialSocket(b.Context(), x.addr(b, listener), "/xmpp-websocket", cfg, nil)
	if err != nil {
		return nil, err
	}
	o.Channel, _ = s.Conn().(*tls.Conn)
	return xmpptest.New(b.Context(), s.Stream(), o)
}

func idleSessions(b *testing.B, mode xmpptest.TLSMode, listener string) {
	const idlers, each = 1000, 10 // sessions for each account
	quiet := 35 * time.Second     // c2s gives memory back after 15 s of quiet
	for range b.N {
		x := startBox(b, "[xmpp]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = []\nrequire_tls = false\n[http]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n")
		for i := range idlers/each + 5 {
			add := control.UserAdd{Local: fmt.Sprintf("user%d", i), Password: "correct horse"}
			if err := control.Call(b.Context(), x.dir, "user.add", add, nil); err != nil {
				b.Fatal(err)
			}
		}
		pool := roots(b, filepath.Join(x.dir, "ca", "ca.pem"))
		open := func(from, n int) []*xmpptest.Client {
			var list []*xmpptest.Client
			for i := range n {
				c, err := dialIdle(b, x, listener, xmpptest.Options{
					Domain: "office.localhost", User: fmt.Sprintf("user%d", from+i/each), Password: "correct horse", TLS: mode,
					TLSConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
				})
				if err != nil {
					b.Fatal(err)
				}
				list = append(list, c)
				if _, err := c.Get(b.Context(), jid.JID{}, "<query xmlns='jabber:iq:roster'/>"); err != nil {
					b.Fatal(err)
				}
				if err := c.Send("<presence/>"); err != nil {
					b.Fatal(err)
				}
			}
			return list
		}
		shut := func(list []*xmpptest.Client) {
			for _, c := range list {
				_ = c.Kill() // ignored: it is done
			}
		}
		shut(open(idlers/each, 50)) // code and pools are there before the count begins
		wait(b, quiet)
		before := rss(b, x.cmd.Process.Pid)
		list := open(0, idlers)
		for _, c := range list { // everything that was sent has been handled
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			_, err := c.Get(ctx, jid.MustParse("office.localhost"), "<ping xmlns='urn:xmpp:ping'/>")
			cancel()
			if err != nil {
				b.Fatal(err)
			}
		}
		wait(b, quiet)
		b.ReportMetric((rss(b, x.cmd.Process.Pid)-before)*1024/idlers, "KiB/session")
		b.ReportMetric(before, "MiB-before")
		shut(list)
		x.stop(b)
	}
}
