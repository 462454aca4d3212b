package caps

import (
	"slices"
	"strings"
	"testing"

	"doorway/xmpp/stanza"
)

func element(t testing.TB, inner string) *stanza.Element {
	t.Helper()
	st, err := stanza.Parse("<iq type='result' id='1'><query xmlns='" + discoInfo + "'>" + inner + "</query></iq>")
	if err != nil {
		t.Fatal(err)
	}
	q, _ := st.Child(discoInfo, "query")
	return &q
}

const (
	// simple and complexInfo are the examples of XEP-0115 §5.2 and §5.3.
	simple = "<identity category='client' name='Exodus 0.9.1' type='pc'/><feature var='http://jabber.org/protocol/caps'/>" +
		"<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>"
	complexInfo = "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/><identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>" +
		"<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>" +
		"<feature var='http://jabber.org/protocol/disco#items'/>" + software
	software = "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>" +
		"<field var='software_version'><value>0.11</value></field><field var='ip_version'><value>ipv6</value><value>ipv4</value></field><field var='os'><value>Mac</value></field>" +
		"<field var='os_version'><value>10.5.1</value></field><field var='software'><value>Psi</value></field></x>"
	simpleVer  = "QgayPKawpkPSDYmwT/WM94uAlu0="
	complexVer = "q07IKJEyjvHSyhy//CH0CxmKi8w="
)

func TestVerificationString(t *testing.T) {
	for inner, want := range map[string]string{simple: simpleVer, complexInfo: complexVer} {
		i := parse(element(t, inner))
		if got := i.ver("sha-1"); got != want || !i.sound {
			t.Errorf("got %s, want %s (sound %v) for %s", got, want, i.sound, i.text())
		}
	}
	if i := parse(element(t, simple)); i.ver("md5") != "" || len(i.ver("sha-256")) != 44 {
		t.Error("other hashes")
	}
}

// TestIllFormed: XEP-0115 §5.4, 3.3 to 3.6.
func TestIllFormed(t *testing.T) {
	const id, f = "<identity category='client' type='pc'/>", "<feature var='a'/>"
	form := func(fields string) string { return "<x xmlns='jabber:x:data' type='result'>" + fields + "</x>" }
	typ := func(values ...string) string {
		return "<field var='FORM_TYPE' type='hidden'><value>" + strings.Join(values, "</value><value>") + "</value></field>"
	}
	for inner, sound := range map[string]bool{
		"":      true,
		id + f:  true,
		id + id: false,
		id + "<identity category='client' type='pc' xml:lang='de'/>": true,
		f + f:                           false,
		form(typ("a")) + form(typ("a")): false,
		form(typ("a")) + form(typ("b")): true,
		form(typ("a", "b")):             false,
		form(typ("a", "a")):             true,
		form("<field var='FORM_TYPE'><value>a</value></field>") + form("<field var='FORM_TYPE'><value>a</value></field>"): true,
		form("") + form(""):       true,
		"<feature var='a&lt;b'/>": false,
		"<other/>":                true,
	} {
		if i := parse(element(t, inner)); i.sound != sound {
			t.Errorf("%s: sound %v", inner, i.sound)
		}
	}
	// A form of unknown type leaves no trace in the hash.
	if a, b := parse(element(t, simple)), parse(element(t, simple+form("<field var='x'><value>y</value></field>"))); a.text() != b.text() {
		t.Errorf("%s and %s", a.text(), b.text())
	}
	if parse(element(t, strings.Repeat("<feature var='"+strings.Repeat("x", 1000)+"'/>", 40))) != nil {
		t.Error("an answer without bound is kept")
	}
}

// FuzzParse: no answer trips the parser; what is sound is known by its features
// however they are ordered.
func FuzzParse(f *testing.F) {
	f.Add(simple)
	f.Add(complexInfo)
	f.Fuzz(func(t *testing.T, inner string) {
		st, err := stanza.Parse("<iq type='result' id='1'><query xmlns='" + discoInfo + "'>" + inner + "</query></iq>")
		if err != nil {
			return
		}
		q, ok := st.Child(discoInfo, "query")
		if !ok {
			return
		}
		i := parse(&q)
		if i == nil {
			return
		}
		slices.Reverse(q.Children)
		again := parse(&q)
		if again == nil || i.ver("sha-1") != again.ver("sha-1") && i.sound {
			t.Fatalf("order matters in %s", inner)
		}
		for _, x := range i.features {
			if !i.has(x) {
				t.Fatalf("%q is not found", x)
			}
		}
	})
}
