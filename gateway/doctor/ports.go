package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// ports knocks at every listener as a client would. Without a running doorway
// it tries whether the ports can be had.
func ports(ctx context.Context, b *Box) []Line {
	if b.Facts == nil {
		return freePorts(b)
	}
	var lines []Line
	for _, d := range b.Facts.Doors {
		name := "port " + d.Want
		if d.Addr == "" {
			lines = append(lines, fail(name, "doorway could not open "+d.Want+".", "`ss -ltnp` shows who has the port. Stop that program, or choose another port; doorway tries again every ten seconds."))
			continue
		}
		said, err := knock(ctx, b, d)
		if err != nil {
			lines = append(lines, fail(name, fmt.Sprintf("%s does not answer: %v.", d.Addr, err), "Read `journalctl -u doorway`, then restart doorway."))
			continue
		}
		lines = append(lines, ok(name, fmt.Sprintf("%s answers (%s).", d.Addr, said)))
	}
	return lines
}

// reach turns "everywhere" into an address that can be connected to.
func reach(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// knock connects and takes the first step of the listener's protocol.
func knock(ctx context.Context, b *Box, d Door) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	conn, err := b.Dial(ctx, "tcp", reach(d.Addr))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	switch d.Kind {
	case DirectTLS:
		t := tls.Client(conn, probeTLS(b))
		if err := t.HandshakeContext(ctx); err != nil {
			return "", fmt.Errorf("TLS handshake: %w", err)
		}
		return tls.VersionName(t.ConnectionState().Version), nil
	case HTTP:
		if err := exchange(conn, "HEAD /healthz HTTP/1.0\r\n\r\n", "HTTP/1."); err != nil {
			return "", err
		}
		return "HTTP", nil
	}
	// RFC 6120 §4.2: a stream header is answered by one, with features.
	to := ""
	if b.Config != nil {
		to = " to='" + b.Config.Domain + "'"
	}
	header := "<?xml version='1.0'?><stream:stream" + to + " version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	if err := exchange(conn, header, "stream:features"); err != nil {
		return "", err
	}
	return "XMPP", nil
}

// probeTLS trusts any certificate: whether it is right is another check.
func probeTLS(b *Box) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, NextProtos: []string{"xmpp-client"}}
	if b.Config != nil {
		c.ServerName = b.Config.Domain
	}
	return c
}

// maxAnswer is more than any first answer of ours.
const maxAnswer = 16 << 10

func exchange(conn net.Conn, say, want string) error {
	if _, err := conn.Write([]byte(say)); err != nil {
		return err
	}
	var got []byte
	for buf := make([]byte, 1024); len(got) < maxAnswer; {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if strings.Contains(string(got), want) {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("no answer within %v", checkLimit)
		}
		if err != nil {
			return fmt.Errorf("no proper answer: %w", err)
		}
	}
	return errors.New("no proper answer")
}

// freePorts tries whether the configured ports can be had.
func freePorts(b *Box) []Line {
	if b.Config == nil || b.FactsErr != nil {
		return nil
	}
	var lines []Line
	for _, list := range [][]string{b.Config.XMPP.Listen, b.Config.XMPP.ListenTLS, b.Config.HTTP.Listen} {
		for _, addr := range list {
			name := "port " + addr
			l, err := net.Listen("tcp", addr)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				lines = append(lines, fail(name, "Another program listens on "+addr+".", "`ss -ltnp` shows which one: stop it or choose another port. If it is systemd with doorway.socket, all is well and `systemctl start doorway` takes the port over."))
			case errors.Is(err, syscall.EACCES):
				lines = append(lines, fail(name, "Only root may listen on "+addr+".", "Let doorway.socket open it (see configs/doorway.socket), or choose a port above 1023."))
			case errors.Is(err, syscall.EADDRNOTAVAIL):
				lines = append(lines, fail(name, addr+" is not an address of this box.", "Write 0.0.0.0 for all, or one of the addresses that `ip address` shows."))
			case err != nil:
				lines = append(lines, fail(name, err.Error()+".", "Correct the address in doorway.toml."))
			default:
				_ = l.Close() // ignored: it only showed that the port is free
				lines = append(lines, ok(name, addr+" is free."))
			}
		}
	}
	return lines
}
