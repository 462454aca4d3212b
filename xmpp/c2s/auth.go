package c2s

import (
	"encoding/base64"
	"errors"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// maxAttempts is how often a client may fail to authenticate on one
// connection (RFC 6120 §6.4.5 asks for 2 to 5).
const maxAttempts = 3

// maxBindings is how often mechanisms may fail for their channel binding
// without being counted as attempts: nothing was guessed.
// COMPAT(slixmpp 1.8.3): it knows only tls-unique, tries each -PLUS mechanism
// with it on TLS 1.3 too, then each plain SCRAM saying that the server has no
// -PLUS (refused, RFC 5802 §6), and only then PLAIN.
const maxBindings = 6

// preAuth handles a stream until it restarts: after STARTTLS or after SASL.
func (n *negotiation) preAuth() error {
	for {
		t, err := n.next()
		if err != nil {
			return err
		}
		switch t.Name.Space {
		case nsTLS:
			if t.Name.Local != "starttls" {
				return &stanza.StreamError{Condition: "unsupported-stanza-type"}
			}
			return n.startTLS()
		case nsSASL:
			done, err := n.sasl(&t)
			if done || err != nil {
				return err
			}
		case nsClient, nsSM: // RFC 6120 §4.9.3.12
			return &stanza.StreamError{Condition: "not-authorized"}
		default:
			if n.srv.cfg.RequireTLS && !n.Secure() {
				return &stanza.StreamError{Condition: "policy-violation", Text: "Nothing but STARTTLS is possible here."}
			}
			if err := n.preFeature(&t); err != nil {
				return err
			}
		}
	}
}

// startTLS secures the stream (RFC 6120 §5.4.2). The next stream's Restart
// discards what the client has sent ahead of the handshake.
func (n *negotiation) startTLS() error {
	l, ok := n.link.(*tcpLink)
	if !ok || n.srv.tls == nil || n.Secure() {
		if err := n.write("<failure xmlns='" + nsTLS + "'/>"); err != nil {
			return err
		}
		return errClosedNow // RFC 6120 §5.4.2.2: the stream ends
	}
	if err := n.write("<proceed xmlns='" + nsTLS + "'/>"); err != nil {
		return err
	}
	l.Restart(n.srv.lim.PreAuth)
	return n.handshake(n.srv.tls)
}

// errClosedNow ends a stream without a stream error.
var errClosedNow = errors.New("stream closed")

// preFeature gives an element to a module's feature before authentication.
func (n *negotiation) preFeature(t *xmlstream.Token) error {
	answer, err := n.offer(n.ctx, t, xmpp.PreAuth)
	if err != nil || answer == "" {
		return err
	}
	return n.write(answer)
}

// sasl does one attempt (RFC 6120 §6.4); done when it succeeded.
func (n *negotiation) sasl(t *xmlstream.Token) (done bool, err error) {
	switch t.Name.Local {
	case "auth":
	case "abort": // nothing is under way; answered all the same
		return false, n.fail(&sasl.Failure{Condition: "aborted"})
	default:
		return false, n.fail(&sasl.Failure{Condition: "malformed-request"})
	}
	if n.srv.cfg.RequireTLS && !n.Secure() {
		return false, n.fail(&sasl.Failure{Condition: "encryption-required", Text: "Please use TLS to log in."})
	}
	in, given, f := saslData(t)
	if f != nil {
		return false, n.fail(f)
	}
	x, err := n.srv.cfg.SASL.Start(string(t.Attr("mechanism")), n.binding, n.link.Addr())
	if err != nil {
		return false, n.fail(err)
	}
	for {
		var out []byte
		ok := false
		if given {
			if out, ok, err = x.Next(n.ctx, in); err != nil {
				return false, n.fail(err)
			}
		}
		if ok {
			return true, n.succeed(x.Local(), out)
		}
		if err := n.write("<challenge xmlns='" + nsSASL + "'>" + base64.StdEncoding.EncodeToString(out) + "</challenge>"); err != nil {
			return false, err
		}
		next, err := n.next()
		switch {
		case err != nil:
			return false, err
		case next.Name == xmlstream.Name{Space: nsSASL, Local: "abort"}:
			return false, n.fail(&sasl.Failure{Condition: "aborted"})
		case next.Name != xmlstream.Name{Space: nsSASL, Local: "response"}:
			return false, &stanza.StreamError{Condition: "not-authorized"}
		}
		if in, _, f = saslData(&next); f != nil {
			return false, n.fail(f)
		}
		given = true
	}
}

// saslData decodes the base64 of an element; given is false when it is empty.
// A single "=" stands for data of no bytes (RFC 6120 §6.4.2).
func saslData(t *xmlstream.Token) (data []byte, given bool, f *sasl.Failure) {
	if t.Children > 0 {
		return nil, false, &sasl.Failure{Condition: "malformed-request"}
	}
	text := strings.TrimSpace(string(t.Inner))
	switch text {
	case "":
		return nil, false, nil
	case "=":
		return []byte{}, true, nil
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false, &sasl.Failure{Condition: "incorrect-encoding", Err: err}
	}
	return data, true, nil
}

// succeed tells the client and notes who it is.
func (n *negotiation) succeed(local string, data []byte) error {
	account, err := jid.New(local, n.srv.cfg.Domain, "")
	if err != nil {
		return n.fail(err)
	}
	n.mu.Lock()
	n.account = account.Clone()
	n.mu.Unlock()
	n.authed = true
	n.srv.admitted(n.link.Addr())
	xml := "<success xmlns='" + nsSASL + "'/>"
	if len(data) > 0 {
		xml = "<success xmlns='" + nsSASL + "'>" + base64.StdEncoding.EncodeToString(data) + "</success>"
	}
	return n.write(xml)
}

// fail answers a failed attempt; the last one ends the stream.
func (n *negotiation) fail(err error) error {
	f := &sasl.Failure{Condition: "temporary-auth-failure", Err: err}
	errors.As(err, &f)
	n.conn.log().Info("authentication failed", "err", f.Condition, "cause", f.Err)
	xml := "<failure xmlns='" + nsSASL + "'><" + f.Condition + "/>"
	if f.Text != "" {
		xml += "<text xml:lang='" + serverLang + "'>" + xmlstream.Escaped(f.Text) + "</text>"
	}
	if err := n.write(xml + "</failure>"); err != nil {
		return err
	}
	if f.Binding && n.bindings < maxBindings {
		n.bindings++
		return nil
	}
	if n.attempts++; n.attempts >= maxAttempts {
		return &stanza.StreamError{Condition: "policy-violation", Text: "Too many failed attempts to log in."}
	}
	return nil
}
