package xmlstream

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// oracle reads a document with encoding/xml in strict mode into the same kind
// of tree. Where it is laxer than we are, we refuse and it is not asked:
// comments, instructions, DTDs, duplicate attributes, unbound and reserved
// prefixes, depth, and text around the root. Where it is stricter or
// different, canonical and agree know: it takes names from an older edition
// of XML, and it does not turn white space in attributes into blanks (XML 1.0
// §3.3.3).
func oracle(doc string) (*Tree, error) {
	d := xml.NewDecoder(strings.NewReader(doc))
	var open []*Tree
	var top *Tree
	for {
		tok, err := d.Token()
		if err == io.EOF && top != nil {
			return top, nil
		}
		if err != nil {
			return nil, err
		}
		switch e := tok.(type) {
		case xml.StartElement:
			t := &Tree{Name: Name(e.Name)}
			for _, a := range e.Attr {
				if a.Name.Space == "xmlns" || a.Name == (xml.Name{Local: "xmlns"}) {
					continue
				}
				t.Attrs = append(t.Attrs, TreeAttr{Name(a.Name), a.Value})
			}
			open = append(open, t)
		case xml.CharData:
			if n := len(open); n > 0 {
				open[n-1].Text += string(e)
			}
		case xml.EndElement:
			n := len(open) - 1
			if n == 0 {
				top = open[0]
			} else {
				open[n-1].Children = append(open[n-1].Children, *open[n])
			}
			open = open[:n]
		case xml.ProcInst:
			if e.Target != "xml" {
				return nil, errors.New("instruction")
			}
		default:
			return nil, fmt.Errorf("unexpected %T", tok)
		}
	}
}

// blanks does to what encoding/xml read of an attribute what XML 1.0 §3.3.3 asks for.
var blanks = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")

// canonical writes a tree for comparison.
func canonical(b *strings.Builder, t *Tree) {
	fmt.Fprintf(b, "<{%s}%s", blanks.Replace(t.Name.Space), t.Name.Local)
	for _, a := range t.Attrs {
		fmt.Fprintf(b, " {%s}%s=%q", blanks.Replace(a.Name.Space), a.Name.Local, blanks.Replace(a.Value))
	}
	fmt.Fprintf(b, ">%q", t.Text)
	for i := range t.Children {
		canonical(b, &t.Children[i])
	}
	b.WriteString("</>")
}

func written(t *Tree) string {
	var b strings.Builder
	canonical(&b, t)
	return b.String()
}

// agree compares with the oracle what we have accepted.
func agree(t *testing.T, doc string, ours *Tree) {
	t.Helper()
	theirs, err := oracle(doc)
	if err != nil {
		if strings.Contains(err.Error(), "invalid XML name") || strings.Contains(err.Error(), "expected element name") || strings.Contains(err.Error(), "expected attribute name") {
			for _, r := range doc {
				if r >= 0x80 {
					return // a name of the fifth edition
				}
			}
		}
		t.Fatalf("encoding/xml refuses %q: %v", doc, err)
	}
	theirs.Text = "" // white space between stanzas
	if got, want := written(ours), written(theirs); got != want {
		t.Fatalf("%q:\nwe read      %s\nencoding/xml %s", doc, got, want)
	}
}

// readAll gives the whole stream as one tree; complete is false when it was
// not accepted to its end.
func readAll(t *testing.T, in string) (top Tree, complete bool) {
	r := NewReader(strings.NewReader(in), Limits{})
	for {
		tok, err := r.Next()
		if err != nil {
			return top, false
		}
		el := Tree{Name: tok.Name}
		for _, a := range tok.Attrs {
			el.Attrs = append(el.Attrs, TreeAttr{a.Name, string(a.Value)})
		}
		switch tok.Kind {
		case StreamOpen:
			top = el
		case StreamClose:
			return top, true
		case Element:
			el = inContext(t, r, tok, el)
			top.Children = append(top.Children, el)
		}
	}
}

// inContext parses what the token says is inside, in every way that must give
// the same, and returns the element.
func inContext(t *testing.T, r *Reader, tok Token, el Tree) Tree {
	t.Helper()
	inside := r.scan.head.space
	inner, err := ParseTree(string(tok.Inner), string(tok.Decls), inside)
	if err != nil {
		t.Fatalf("inner %q with %q: %v", tok.Inner, tok.Decls, err)
	}
	el.Children = inner
	decls := ""
	for _, d := range r.root.decls {
		decls += string(appendDecl(nil, d.prefix, d.uri))
	}
	raw, err := ParseTree(string(tok.Raw), decls, r.root.content)
	if err != nil || len(raw) != 1 {
		t.Fatalf("raw %q: %v", tok.Raw, err)
	}
	el.Text = raw[0].Text
	if got, want := written(&el), written(&raw[0]); got != want {
		t.Fatalf("the token of %q is\n%s, as a tree\n%s", tok.Raw, got, want)
	}
	if inside != r.root.content && !contentSpace(inside) {
		again, err := ParseTree(string(tok.Inner), string(tok.Decls), "jabber:component:accept")
		if err != nil || written(&Tree{Children: again}) != written(&Tree{Children: inner}) {
			t.Fatalf("%q means something else elsewhere: %v", tok.Inner, err)
		}
	}
	if n := len(inner); n != tok.Children || n > 0 && inner[0].Name != tok.Payload {
		t.Fatalf("%q: %d children, payload %v", tok.Raw, tok.Children, tok.Payload)
	}
	return el
}

func FuzzReader(f *testing.F) {
	for _, s := range samples {
		f.Add(s)
	}
	for _, c := range refused {
		if len(c.in) < 200 {
			f.Add(header + c.in)
		}
	}
	for _, c := range refusedHeaders {
		if len(c.in) < 200 {
			f.Add(c.in)
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		whole := record(NewReader(strings.NewReader(in), Limits{}))
		if got := record(NewReader(&stutters{s: in}, Limits{})); got != whole {
			t.Fatalf("%q byte by byte:\n%s\nwhole:\n%s", in, got, whole)
		}
		if top, complete := readAll(t, in); complete && !strings.Contains(whole, "fault") {
			theirs := in
			if i := strings.Index(theirs, "?>"); strings.HasPrefix(theirs, "<?xml") && i > 0 {
				theirs = theirs[i+2:] // we check the declaration by a table
			}
			agree(t, theirs, &top)
		}
	})
}

// stutters gives one byte at a time.
type stutters struct{ s string }

func (s *stutters) Read(p []byte) (int, error) {
	if s.s == "" {
		return 0, io.EOF
	}
	p[0] = s.s[0]
	s.s = s.s[1:]
	return 1, nil
}

func FuzzParseTree(f *testing.F) {
	f.Add("<a/>x<b c='1'>&lt;</b>", "")
	f.Add("<p:a xmlns='urn:d'><b/></p:a><c xmlns=''><d/></c>", " xmlns:p='urn:p'")
	f.Add("<a xmlns='urn:d' xmlns:q='u'><b q:c=''><![CDATA[]]></b></a>", "")
	f.Fuzz(func(t *testing.T, inner, decls string) {
		const content = "jabber:client"
		trees, err := ParseTree(inner, decls, content)
		if err != nil || inner == "" {
			return
		}
		doc := "<x xmlns='" + content + "'" + decls + ">" + inner + "</x>"
		if th, err := oracle(doc); err == nil && !strings.Contains(decls, "xmlns=") {
			th.Text, th.Attrs = "", nil
			if got, want := written(&Tree{Name: th.Name, Children: trees}), written(th); got != want {
				t.Fatalf("%q:\nwe read      %s\nencoding/xml %s", doc, got, want)
			}
		}
		for i := range trees {
			elsewhere(t, &trees[i])
		}
	})
}

// elsewhere checks that an element and all in it can be taken out.
func elsewhere(t *testing.T, el *Tree) {
	t.Helper()
	for _, content := range []string{"jabber:client", "jabber:component:accept"} {
		if content != "jabber:client" && strings.Contains(written(el), "{jabber:client}") {
			continue // it means the content namespace, which changes
		}
		again, err := ParseTree(el.XML(), "", content)
		if err != nil || len(again) != 1 || written(&again[0]) != written(el) {
			t.Fatalf("%s\nis not %s (%v)", el.XML(), written(el), err)
		}
	}
	for i := range el.Children {
		elsewhere(t, &el.Children[i])
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a<b>&'\"\r\n\t\x00\xff\uFFFE")
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.Map(func(r rune) rune {
			if !isChar(r) {
				return '\uFFFD'
			}
			return r
		}, s)
		got, err := ParseTree("<a"+string(AppendAttr(nil, "b", s))+">"+Escaped(s)+"</a>", "", "")
		if err != nil || got[0].Text != want || got[0].Attr("b") != want {
			t.Fatalf("%q came back as %q, %q, %v", s, got[0].Text, got[0].Attr("b"), err)
		}
	})
}
