package c2s

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

func TestLoginOverStartTLS(t *testing.T) {
	h := open(t, nil, requireTLS)
	p := h.dial()
	p.open()
	p.startTLS(h.tlsConfig())
	p.open()
	p.scram("alice")
	p.bind("desk")
	if p.full != "alice@"+home+"/desk" {
		t.Errorf("bound as %s", p.full)
	}
	p.send("</stream:stream>")
	p.expectEnd("")
}

func TestPlainOnlyUnderTLS(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.dial()
	if f := p.open(); strings.Contains(f, "PLAIN") || !strings.Contains(f, "SCRAM-SHA-256") || !strings.Contains(f, "starttls") {
		t.Errorf("features in the clear: %s", f)
	}
	p.send(plainAuth("alice", password))
	p.expect("<failure")
	q := h.dialTLS(nil)
	if f := q.open(); !strings.Contains(f, "PLAIN") || strings.Contains(f, "starttls") {
		t.Errorf("features under TLS: %s", f)
	}
	q.send(plainAuth("alice", password))
	q.expect("<success")
	q.bind("x")
}

func TestThreeAttempts(t *testing.T) {
	h := open(t, nil, requireTLS)
	p := h.dialTLS(nil)
	p.open()
	for _, c := range []struct{ in, want string }{
		{"<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>!!!</auth>", "incorrect-encoding"},
		{plainAuth("alice", "wrong"), "not-authorized"},
		{"<abort xmlns='" + nsSASL + "'/>", "aborted"},
	} {
		p.send("%s", c.in)
		p.expect("<failure xmlns='"+nsSASL+"'>", "<"+c.want+"/>")
	}
	p.expectEnd("policy-violation")
}

func TestSASLGarbage(t *testing.T) {
	h := open(t, nil, requireTLS)
	const auth = "<auth xmlns='" + nsSASL + "' mechanism='SCRAM-SHA-256'>"
	start := auth + base64.StdEncoding.EncodeToString([]byte("n,,n=alice,r=abcdefghijk")) + "</auth>"
	for _, c := range []struct {
		name string
		in   []string
		want string
	}{
		{"no mechanism", []string{"<auth xmlns='" + nsSASL + "'/>"}, "<invalid-mechanism/>"},
		{"unknown mechanism", []string{"<auth xmlns='" + nsSASL + "' mechanism='X'>=</auth>"}, "<invalid-mechanism/>"},
		{"an element inside", []string{auth + "<x/></auth>"}, "<malformed-request/>"},
		{"zero bytes", []string{auth + "AAAAAAAA</auth>"}, "<malformed-request/>"},
		{"unpadded", []string{auth + "bixhPQ</auth>"}, "<incorrect-encoding/>"},
		{"response first", []string{"<response xmlns='" + nsSASL + "'/>"}, "<malformed-request/>"},
		{"abort in the middle", []string{start, "<abort xmlns='" + nsSASL + "'/>"}, "<aborted/>"},
		{"rubbish in the middle", []string{start, "<response xmlns='" + nsSASL + "'>cnViYmlzaA==</response>"}, "<malformed-request/>"},
		{"auth in the middle", []string{start, start}, "<not-authorized xmlns"},
		{"stanza in the middle", []string{start, "<iq/>"}, "<not-authorized xmlns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			p := h.dialTLS(nil)
			p.open()
			for i, in := range c.in {
				if i > 0 {
					p.expect("<challenge")
				}
				p.send("%s", in)
			}
			p.expect(c.want)
		})
	}
	h.t = t
}

func TestInitialResponseMayComeLater(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.dial()
	p.open()
	p.send("<auth xmlns='" + nsSASL + "' mechanism='SCRAM-SHA-256'/>")
	if s := p.data("challenge"); s != "" {
		t.Errorf("first challenge %q", s)
	}
	p.send("<response xmlns='" + nsSASL + "'>" + base64.StdEncoding.EncodeToString([]byte("n,,n=alice,r=abcdefghijk")) + "</response>")
	if s := p.data("challenge"); !strings.HasPrefix(s, "r=abcdefghijk") {
		t.Errorf("second challenge %q", s)
	}
}

// TestChannelBinding logs in with -PLUS: tls-exporter on TLS 1.3 and on 1.2,
// where Go always has the extended master secret, and tls-server-end-point.
func TestChannelBinding(t *testing.T) {
	h := open(t, nil, requireTLS)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, startTLS := range []bool{false, true} {
			for _, kind := range []scram.ChannelBindingType{scram.ChannelBindingTLSExporter, scram.ChannelBindingTLSServerEndpoint} {
				conf := h.tlsConfig()
				conf.MinVersion, conf.MaxVersion = version, version
				var p *peer
				if startTLS {
					p = h.dial()
					p.open()
					conf.NextProtos = nil
					p.startTLS(conf)
				} else {
					p = h.dialTLS(conf)
				}
				f := p.open()
				if !strings.Contains(f, "<channel-binding type='"+string(kind)+"'/>") {
					t.Fatalf("%x: %s is not offered in %s", version, kind, f)
				}
				cs := p.tls.ConnectionState()
				data, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
				if err != nil {
					t.Fatal(err)
				}
				if kind == scram.ChannelBindingTLSServerEndpoint {
					sum := sha256.Sum256(h.cert.Certificate[0])
					data = sum[:]
				}
				p.scramPlus("alice", scram.ChannelBinding{Type: kind, Data: data})
				p.bind("")
			}
		}
	}
}

func (p *peer) scramPlus(user string, cb scram.ChannelBinding) {
	p.t.Helper()
	c, err := scram.SHA256.NewClientUnprepped(user, password, "")
	if err != nil {
		p.t.Fatal(err)
	}
	conv := c.NewConversationWithChannelBinding(cb)
	msg, err := conv.Step("")
	if err != nil {
		p.t.Fatal(err)
	}
	enc := base64.StdEncoding.EncodeToString
	p.send("<auth xmlns='%s' mechanism='SCRAM-SHA-256-PLUS'>%s</auth>", nsSASL, enc([]byte(msg)))
	msg, err = conv.Step(p.data("challenge"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.send("<response xmlns='%s'>%s</response>", nsSASL, enc([]byte(msg)))
	if _, err := conv.Step(p.data("success")); err != nil {
		p.t.Fatal(err)
	}
}

func TestBind(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.dial()
	p.open()
	p.scram("alice")
	f := p.open()
	for _, want := range []string{"<bind xmlns='" + nsBind + "'/>", "<session xmlns='" + nsSession + "'><optional/></session>", "<sm xmlns='" + nsSM + "'/>"} {
		if !strings.Contains(f, want) {
			t.Errorf("no %s in %s", want, f)
		}
	}
	if strings.Contains(f, "mechanism") {
		t.Errorf("SASL after SASL: %s", f)
	}
	p.send("<iq type='set' id='1'><bind xmlns='%s'><resource>%s</resource></bind></iq>", nsBind, strings.Repeat("x", 1024))
	p.expect("id='1'", "type='error'", "<bad-request")
	p.send("<iq type='get' id='2'><bind xmlns='%s'/></iq>", nsBind)
	p.expect("id='2'", "type='error'", "<bad-request")
	p.send("<enable xmlns='%s'/>", nsSM)
	p.expect("<failed xmlns='"+nsSM+"'>", "<unexpected-request")
	p.send("<resume xmlns='%s' previd='x' h='0'/>", nsSM)
	p.expect("<failed xmlns='"+nsSM+"'>", "<item-not-found")
	p.send("<iq type='set' id='3'><bind xmlns='%s'/></iq>", nsBind)
	s := p.expect("id='3'", "type='result'", "<jid>alice@"+home+"/")
	_, s, _ = strings.Cut(s, "<jid>alice@"+home+"/")
	if r, _, _ := strings.Cut(s, "<"); len(r) < 16 {
		t.Errorf("resource %q can be guessed", r)
	}
	p.send("<iq type='set' id='4'><session xmlns='%s'/></iq>", nsSession)
	if s := p.expect("id='4'", "type='result'"); !strings.HasSuffix(s, "/>") {
		t.Errorf("result of session: %s", s)
	}
	p.send("<iq type='set' id='5'><bind xmlns='%s'/></iq>", nsBind)
	p.expect("id='5'", "type='error'", "<not-allowed")
}

func TestStanzaBeforeBind(t *testing.T) {
	h := open(t, nil, loopback)
	for _, st := range []string{
		"<message to='bob@" + home + "'><body>hi</body></message>",
		"<presence/>",
		"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
	} {
		p := h.dial()
		p.open()
		p.scram("alice")
		p.open()
		p.send("%s", st)
		p.expectEnd("not-authorized")
	}
}

func TestConflictEndsTheOlder(t *testing.T) {
	h := open(t, nil, loopback)
	old := h.login("alice", "phone")
	h.login("alice", "phone")
	old.expectEnd("conflict")
}

func TestTooManyResources(t *testing.T) {
	h := open(t, nil, loopback)
	for range 16 {
		h.login("alice", "")
	}
	p := h.dial()
	p.open()
	p.scram("alice")
	p.open()
	p.send("<iq type='set' id='1'><bind xmlns='%s'/></iq>", nsBind)
	p.expect("type='error'", "<resource-constraint")
}

// features is a module with a stream feature in each phase.
type features struct{}

func (features) Info() xmpp.Info { return xmpp.Info{Name: "features"} }

func (features) Load(h xmpp.Host) error {
	for phase, name := range map[xmpp.Phase]string{xmpp.PreAuth: "before", xmpp.PostAuth: "after"} {
		h.StreamFeature(xmpp.StreamFeature{
			Name: stanza.Name{Space: "urn:example:" + name, Local: name}, Phase: phase,
			Offer: func(xmpp.Stream) string { return "<" + name + " xmlns='urn:example:" + name + "'/>" },
			Handle: func(_ context.Context, st xmpp.Stream, el stanza.Element) (string, error) {
				if el.Attr("end") != "" {
					return "", &stanza.StreamError{Condition: "policy-violation"}
				}
				who := st.Account().String()
				if s := st.Session(); s != nil {
					who = s.JID().String()
				}
				return "<did xmlns='urn:example:" + name + "'>" + el.Name.Local + " " + el.Attr("x") + " " + xmlstream.Escaped(el.Text) + " " + who + "</did>", nil
			},
		})
	}
	return nil
}

func TestModulesFeatures(t *testing.T) {
	h := open(t, []xmpp.Module{features{}}, loopback)
	p := h.dial()
	if f := p.open(); !strings.Contains(f, "<before xmlns") || strings.Contains(f, "<after xmlns") {
		t.Errorf("features: %s", f)
	}
	p.send("<act xmlns='urn:example:before' x='1'>one &amp; two</act>")
	p.expect(">act 1 one &amp; two <")
	p.scram("alice")
	if f := p.open(); strings.Contains(f, "<before xmlns") || !strings.Contains(f, "<after xmlns") {
		t.Errorf("features: %s", f)
	}
	p.send("<act xmlns='urn:example:after'/>")
	p.expect("<did", "alice@"+home+"<")
	p.bindOpen("desk")
	p.send("<act xmlns='urn:example:after'/>")
	p.expect("<did", "alice@"+home+"/desk<")
	p.send("<act xmlns='urn:example:after' end='1'/>")
	p.expectEnd("policy-violation")
}
