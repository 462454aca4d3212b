package xmpptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Raw is a bare connection: what is written goes out as it is. It belongs to
// one goroutine.
type Raw struct {
	conn net.Conn
	got  []byte // read and not yet returned
}

// DialRaw connects to addr; with a configuration it does a TLS handshake first.
func DialRaw(ctx context.Context, addr string, cfg *tls.Config) (*Raw, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &Raw{conn: conn}
	if cfg != nil {
		if err := r.StartTLS(ctx, cfg); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return r, nil
}

// StartTLS does a TLS handshake on the connection; what had been read is discarded.
func (r *Raw) StartTLS(ctx context.Context, cfg *tls.Config) error {
	t, err := handshake(ctx, r.conn, cfg, "", nil)
	if err != nil {
		return err
	}
	r.conn, r.got = t, nil
	return nil
}

// Conn is the connection.
func (r *Raw) Conn() net.Conn { return r.conn }

// Write sends bytes. A server that has closed already is no error here: the
// reads will tell.
func (r *Raw) Write(s string) error {
	if err := r.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := io.WriteString(r.conn, s)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return nil
}

// more reads once.
func (r *Raw) more(ctx context.Context) error {
	stop := under(ctx, r.conn)
	defer stop()
	b := make([]byte, 4096)
	n, err := r.conn.Read(b)
	r.got = append(r.got, b[:n]...)
	if n > 0 {
		return nil
	}
	return cause(ctx, err)
}

// Until reads until the text want has come and returns everything up to and
// with it. An error carries what has come instead.
func (r *Raw) Until(ctx context.Context, want string) (string, error) {
	for {
		if i := bytes.Index(r.got, []byte(want)); i >= 0 {
			s := string(r.got[:i+len(want)])
			r.got = r.got[i+len(want):]
			return s, nil
		}
		if err := r.more(ctx); err != nil {
			return "", fmt.Errorf("waiting for %q: %w; got %.500q", want, err, r.got)
		}
	}
}

// Rest reads until the server closes the connection and returns everything.
func (r *Raw) Rest(ctx context.Context) (string, error) {
	for {
		if err := r.more(ctx); err != nil {
			s := string(r.got)
			r.got = nil
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				return s, fmt.Errorf("the connection stays open: %w; got %.500q", err, s)
			}
			return s, nil
		}
	}
}

// ExpectStreamError reads to the end of the connection and checks that the
// server sent a stream header, a stream error of that condition and the end
// tag (RFC 6120 §4.9.1).
func (r *Raw) ExpectStreamError(ctx context.Context, condition string) error {
	all, err := r.Rest(ctx)
	if err != nil {
		return err
	}
	if i := strings.LastIndex(all, "<stream:stream"); i > 0 {
		all = all[i:] // the header of the last restart
	} else if i < 0 {
		all = "<stream:stream xmlns='jabber:client' xmlns:stream='" + streamSpace + "'>" + all // it was read before
	}
	x := xmlstream.NewReader(strings.NewReader(all), limits)
	var found *stanza.StreamError
	for {
		t, err := x.Next()
		if err != nil {
			return fmt.Errorf("want stream error %s and the end of the stream: %w in %.500q", condition, err, all)
		}
		if se, ok := stanza.StreamErrorOf(&t); ok {
			found = se
		}
		if t.Kind != xmlstream.StreamClose {
			continue
		}
		if found == nil || found.Condition != condition {
			return fmt.Errorf("want stream error %s, got %.500q", condition, all)
		}
		return nil
	}
}

// Close closes the connection.
func (r *Raw) Close() error { return r.conn.Close() }
