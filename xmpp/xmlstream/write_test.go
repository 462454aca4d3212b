package xmlstream

import (
	"strings"
	"testing"
)

func TestWriter(t *testing.T) {
	var w Writer
	w.Start("urn:a", "query", "ver", "", "id", "a'b\n").
		Start("", "item", "jid", "x@y").Leaf("", "group", "A & B").End().
		Start("urn:b", "other").Leaf("urn:b", "same", "").Leaf("urn:a", "back", "").End().
		Text("").Raw("<raw/>").Text("1 < 2").
		End()
	want := `<query xmlns='urn:a' id='a&apos;b&#10;'><item jid='x@y'><group>A &amp; B</group></item><other xmlns='urn:b'><same/><back xmlns='urn:a'/></other><raw/>1 &lt; 2</query>`
	if got := string(w.Bytes()); got != want || w.String() != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if _, err := Parse([]byte(want), "jabber:client", Limits{}); err != nil {
		t.Fatal(err)
	}
}

func TestWriterMisuse(t *testing.T) {
	for name, misuse := range map[string]func(w *Writer){
		"an element open": func(w *Writer) { w.Start("", "a") },
		"End too often":   func(w *Writer) { w.Start("", "a").End().End() },
	} {
		t.Run(name, func(t *testing.T) {
			var w Writer
			misuse(&w)
			defer func() {
				if recover() == nil {
					t.Error("not noticed")
				}
				if got := w.String(); got != "<a/>" {
					t.Errorf("String gives %s", got)
				}
			}()
			w.Bytes()
		})
	}
}

func TestEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain ü 😀 text\n\there": "plain ü 😀 text\n\there",
		`<a b="c" d='e'>&`:       "&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;",
		"\x00\x08\x1f\xff\uFFFE": "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
		"line\r\nend":            "line&#13;\nend",
		"]]>":                    "]]&gt;",
	} {
		if got := Escaped(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Escaped("nothing to escape here") }); n != 0 {
		t.Errorf("%v allocations for plain text", n)
	}
}

func TestParse(t *testing.T) {
	tok, err := Parse([]byte(" <iq xmlns='jabber:client' id='&lt;'><q xmlns='urn:q'/></iq>\n"), "", Limits{})
	if err != nil || tok.Name != (Name{"jabber:client", "iq"}) || string(tok.Attr("id")) != "<" || tok.Payload != (Name{"urn:q", "q"}) || string(tok.Inner) != "<q xmlns='urn:q'/>" {
		t.Fatal(tok, err)
	}
	tok, err = Parse([]byte("<a/>"), "urn:c", Limits{})
	if err != nil || tok.Name.Space != "urn:c" || tok.Content != "urn:c" || len(tok.Inner) != 0 {
		t.Fatal(tok, err)
	}
	for in, condition := range map[string]string{
		"": "not-well-formed", " ": "not-well-formed", "x": "not-well-formed", "<a": "not-well-formed", "<a>": "not-well-formed",
		"</a>": "not-well-formed", "<a/><b/>": "not-well-formed", "<a/>x": "not-well-formed", "<?xml version='1.0'?><a/>": "restricted-xml",
		"<a><!----></a>": "restricted-xml", "<a>" + strings.Repeat("x", 300<<10) + "</a>": "policy-violation",
	} {
		if _, err := Parse([]byte(in), "urn:c", Limits{}); err == nil || !strings.HasPrefix(err.Error(), condition) {
			t.Errorf("%.20q: %v, want %s", in, err, condition)
		}
	}
}

// Tokens of Parse do not share memory with later ones.
func TestParseTokensStay(t *testing.T) {
	one, err1 := Parse([]byte("<a b='&lt;one' xmlns:p='urn:1'/>"), "", Limits{})
	two, err2 := Parse([]byte("<a b='&lt;two' xmlns:p='urn:2'/>"), "", Limits{})
	if err1 != nil || err2 != nil || string(one.Attrs[0].Value) != "<one" || string(two.Attrs[0].Value) != "<two" || string(one.Decls) != " xmlns:p='urn:1'" {
		t.Fatal(one, two)
	}
}

func TestTree(t *testing.T) {
	trees, err := ParseTree("<a xmlns='urn:a' x='1' p:x='2'><b>t&amp;</b>mixed<b xmlns='urn:b'/><![CDATA[<]]></a>", " xmlns:p='urn:p'", "jabber:client")
	if err != nil || len(trees) != 1 {
		t.Fatal(trees, err)
	}
	a := &trees[0]
	if a.Attr("x") != "1" || a.Attr("y") != "" || a.Text != "mixed<" || a.ChildText("", "b") != "t&" || a.Child("urn:b", "b") == nil || a.Child("", "c") != nil || a.ChildText("", "c") != "" {
		t.Fatalf("%+v", a)
	}
	if got := a.XML(); got != "<a xmlns:p='urn:p' xmlns='urn:a' x='1' p:x='2'><b>t&amp;</b>mixed<b xmlns='urn:b'/><![CDATA[<]]></a>" {
		t.Fatal(got)
	}
	if got := a.Children[0].XML(); got != "<b xmlns='urn:a'>t&amp;</b>" {
		t.Fatal(got)
	}
	if got := (&Tree{}).XML(); got != "" {
		t.Fatal(got)
	}
	for _, in := range []string{"<a>", "</x><x>", "a&b", "<a/></x>", "<p:a/>"} {
		if trees, err := ParseTree(in, "", "jabber:client"); err == nil {
			t.Errorf("%q: %v", in, trees)
		}
	}
	if trees, err := ParseTree("", "", ""); trees != nil || err != nil {
		t.Fatal(trees, err)
	}
}

// What a token tells of namespaces.
func TestTokenNamespaces(t *testing.T) {
	for _, c := range []struct{ root, in, space, decls, inner string }{
		{"", "<message><body/></message>", "jabber:client", "", "<body/>"},
		{"", "<message xmlns='jabber:client'><body/></message>", "jabber:client", "", "<body/>"},
		{"", "<message xmlns='jabber:server'><body/></message>", "jabber:server", "", "<body/>"},
		{"", "<a xmlns='urn:a'><b/><c xmlns='urn:c'/>x</a>", "urn:a", "", "<b xmlns='urn:a'/><c xmlns='urn:c'/>x"},
		{"", "<a xmlns='urn:&apos;'><b>y</b></a>", "urn:'", "", "<b xmlns='urn:&apos;'>y</b>"},
		{"", "<a xmlns=''><b/></a>", "", "", "<b xmlns=''/>"},
		{"", "<message xmlns:p='urn:p'><p:x/></message>", "jabber:client", " xmlns:p='urn:p'", "<p:x/>"},
		{" xmlns:r='urn:r' xmlns:q='urn:q'", "<message><r:x/></message>", "jabber:client", " xmlns:r='urn:r'", "<r:x/>"},
		{" xmlns:r='urn:r'", "<message r:a='1'><x/></message>", "jabber:client", "", "<x/>"},
		{" xmlns:r='urn:r'", "<message><x r:a='1'/></message>", "jabber:client", " xmlns:r='urn:r'", "<x r:a='1'/>"},
		{" xmlns:r='urn:r'", "<message xmlns:r='urn:s'><r:x/></message>", "jabber:client", " xmlns:r='urn:s'", "<r:x/>"},
		{" xmlns:r='urn:r'", "<r:message><x/></r:message>", "urn:r", "", "<x/>"},
		{"", "<stream:error><x xmlns='urn:x'/></stream:error>", "http://etherx.jabber.org/streams", "", "<x xmlns='urn:x'/>"},
	} {
		r := NewReader(strings.NewReader("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"+c.root+">"+c.in), Limits{})
		r.Next()
		tok, err := r.Next()
		if err != nil || tok.Name.Space != c.space || string(tok.Decls) != c.decls || string(tok.Inner) != c.inner || tok.Content != "jabber:client" {
			t.Errorf("%s in%s: %v\n%s", c.in, c.root, err, describe(tok))
		}
	}
}

func BenchmarkReader(b *testing.B) {
	const stanza = "<message to='bob@office.example/phone' type='chat' id='5f1b7e0a' xml:lang='en'><body>Shall we meet at noon?</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
	r := NewReader(&endless{head: header, text: stanza}, Limits{})
	if _, err := r.Next(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(stanza)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTree(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTree("<query xmlns='jabber:iq:roster'><item jid='a@b' name='A &amp; B'><group>Friends</group></item></query>", "", "jabber:client"); err != nil {
			b.Fatal(err)
		}
	}
}
