package xmlstream

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

const header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='office.example' version='1.0'>"

// samples are whole streams that a Reader accepts.
var samples = []string{
	header + "</stream:stream>",
	header + "<message to='a@b' type=\"chat\" id='1' xml:lang='de'><body>hi &lt;there&gt; &#x20ac; ü</body><x xmlns='urn:x'><y a='1'/></x></message>\n \t<iq type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq><presence/></stream:stream >",
	"\n" + strings.TrimPrefix(header, "<?xml version='1.0'?>") + "  <message\n  to='b' ><body >x</body ></message\t></stream:stream>\r\n",
	`<?xml version="1.0" encoding="utf-8" standalone='yes' ?>` + strings.TrimPrefix(header, "<?xml version='1.0'?>"),
	header + "<message><body><![CDATA[<a> ]] > & ü]]]>x<![CDATA[]]></body></message>",
	header + "<message><body>] ]> ]]&gt; > \" '</body></message>",
	header + "<message xmlns='jabber:client'><body/></message>",
	header + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
	header + "<authenticate xmlns='urn:xmpp:sasl:2'><initial-response>eA==</initial-response><a xmlns='urn:b'><c/></a><p:q xmlns:p='urn:p'><r/></p:q></authenticate>",
	header + "<stream:features><a xmlns='urn:a'/></stream:features>",
	header + "<message xmlns:p='urn:p&amp;q' p:a='1' a='2'><p:x xmlns:q='urn:q' q:a='' p:a=''/><stream:y/></message>",
	header + "<message><größe gewicht·='1'/><a.b-c_d/></message>",
	header + "<message a='&#9;x\r\ny\tz&quot;' b=''/>",
	header + "<message><body>\U0001F600\uFFFD\uE000</body></message>",
	"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client'><c:message><c:body>x</c:body></c:message></s:stream>",
	"<stream xmlns='urn:x'/>",
}

// chunks gives the input in pieces.
type chunks struct {
	parts []string
	err   error
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.parts) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		return 0, io.EOF
	}
	n := copy(p, c.parts[0])
	if c.parts[0] = c.parts[0][n:]; c.parts[0] == "" {
		c.parts = c.parts[1:]
	}
	return n, nil
}

// record describes everything a reader gives.
func record(r *Reader) string {
	var b strings.Builder
	for {
		t, err := r.Next()
		if err != nil {
			var se *SyntaxError
			if errors.As(err, &se) {
				fmt.Fprintf(&b, "fault %s", se.Condition)
			} else {
				fmt.Fprintf(&b, "end %v", err)
			}
			return b.String()
		}
		b.WriteString(describe(t))
	}
}

func describe(t Token) string {
	s := fmt.Sprintf("%d {%s}%s:%s content=%s decls=%q inner=%q payload=%v children=%d raw=%q\n", t.Kind, t.Name.Space, t.Prefix, t.Name.Local, t.Content, t.Decls, t.Inner, t.Payload, t.Children, t.Raw)
	for _, a := range t.Attrs {
		s += fmt.Sprintf("  {%s}%s=%q\n", a.Name.Space, a.Name.Local, a.Value)
	}
	return s
}

func TestEverySplitGivesTheSameTokens(t *testing.T) {
	for _, s := range samples {
		want := record(NewReader(strings.NewReader(s), Limits{}))
		if strings.Contains(want, "fault") {
			t.Errorf("%q:\n%s", s, want)
			continue
		}
		for i := 1; i < len(s); i++ {
			if got := record(NewReader(&chunks{parts: []string{s[:i], s[i:]}}, Limits{})); got != want {
				t.Fatalf("%q split at %d:\n%s\nwant\n%s", s, i, got, want)
			}
		}
		if got := record(NewReader(&chunks{parts: strings.Split(s, "")}, Limits{})); got != want {
			t.Fatalf("%q character by character:\n%s\nwant\n%s", s, got, want)
		}
		var single []string
		for i := range len(s) {
			single = append(single, s[i:i+1])
		}
		if got := record(NewReader(&chunks{parts: single}, Limits{})); got != want {
			t.Fatalf("%q byte by byte:\n%s\nwant\n%s", s, got, want)
		}
	}
}
