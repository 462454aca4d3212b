package transfer

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Bounds of what is read.
const (
	maxPart    = 16 << 20  // bytes of one element inside <user/>, and of one archived message
	maxAccount = 128 << 20 // bytes of one account
	piece      = 256       // archived messages that are handed on together
)

// file reads the format from a place that can be read again, as the decoder
// tells where elements begin and end, and their bytes are taken as they are.
type file struct {
	r   io.ReaderAt
	dec *xml.Decoder
	at  int64 // where the last token began
	// open are the elements around the place, with their declarations.
	open []opened
}

// opened is an element that has begun.
type opened struct {
	name    xml.Name
	decls   string // of prefixes, as attributes
	content string // default namespace
}

func newFile(r io.ReaderAt, size int64) *file {
	f := &file{r: r, dec: xml.NewDecoder(io.NewSectionReader(r, 0, size))}
	return f
}

func (f *file) line() int {
	n, _ := f.dec.InputPos()
	return n
}

// fault is a problem where the file stands now.
func (f *file) fault(format string, a ...any) *Problem {
	return &Problem{f.line(), fmt.Sprintf(format, a...)}
}

// next returns the next start element or, with nil, the end of the innermost
// one that is open. Text between elements is white space.
func (f *file) next() (*xml.StartElement, error) {
	for {
		f.at = f.dec.InputOffset()
		t, err := f.dec.Token()
		var syntax *xml.SyntaxError
		switch {
		case errors.As(err, &syntax):
			return nil, &Problem{syntax.Line, "This is not well-formed XML: " + syntax.Msg + "."}
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case err != nil:
			return nil, f.fault("The file cannot be read: %v.", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			f.open = f.open[:len(f.open)-1]
			return nil, nil
		case xml.Directive:
			return nil, f.fault("A document type is not allowed here.")
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return nil, f.fault("There is text between elements: %q.", short(string(t)))
			}
		}
	}
}

func short(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// enter goes into an element.
func (f *file) enter(t *xml.StartElement) {
	o := opened{name: t.Name}
	if n := len(f.open); n > 0 {
		o.decls, o.content = f.open[n-1].decls, f.open[n-1].content
	}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns":
			// What is nearer comes first, and names each prefix once.
			o.decls = declare(o.decls, a.Name.Local, a.Value)
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			o.content = a.Value
		}
	}
	f.open = append(f.open, o)
}

// declare puts a prefix's declaration in the place of an older one.
func declare(decls, prefix, value string) string {
	mark := " xmlns:" + prefix + "='"
	if i := strings.Index(decls, mark); i >= 0 {
		end := i + len(mark) + strings.IndexByte(decls[i+len(mark):], '\'') + 1
		decls = decls[:i] + decls[end:]
	}
	return decls + mark + xmlstream.Escaped(value) + "'"
}

// element reads the element that has just begun, whole.
func (f *file) element() (*stanza.Element, error) {
	line, start := f.line(), f.at
	if err := f.dec.Skip(); err != nil {
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return nil, &Problem{syntax.Line, "This is not well-formed XML: " + syntax.Msg + "."}
		}
		return nil, f.fault("The file cannot be read: %v.", err)
	}
	size := f.dec.InputOffset() - start
	if size > maxPart {
		return nil, &Problem{line, fmt.Sprintf("This element is larger than %d MiB.", maxPart>>20)}
	}
	raw := make([]byte, size)
	if _, err := f.r.ReadAt(raw, start); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Problem{line, fmt.Sprintf("The file cannot be read: %v.", err)}
	}
	in := f.open[len(f.open)-1]
	tree, err := xmlstream.ParseTree(string(raw), in.decls, in.content)
	if err != nil {
		return nil, &Problem{line, fmt.Sprintf("This element is not XML as XMPP has it: %v.", err)}
	}
	if len(tree) != 1 {
		return nil, &Problem{line, "This is not one element."}
	}
	return &tree[0], nil
}

// attr is an attribute without a namespace.
func attr(t *xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// is reports an element of the format itself.
func is(t *xml.StartElement, local string) bool {
	return t.Name == xml.Name{Space: space, Local: local}
}

// user is what stands in a file about one account.
type user struct {
	host, name, password string
	line                 int
}

// read calls begin for each user, part for each of its elements with the line
// where it begins, and end behind the last. An error of theirs that is a *Problem
// and all errors of the file itself end it.
func (f *file) read(begin func(user) error, part func(line int, size int64, el *stanza.Element) error, end func() error, other func(text string)) error {
	root, err := f.next()
	if err != nil {
		return ended(f, err)
	}
	if !is(root, "server-data") {
		return f.fault("This is no file of XEP-0227: it begins with <%s xmlns='%s'/> and not with <server-data xmlns='%s'/>.", root.Name.Local, root.Name.Space, space)
	}
	f.enter(root)
	for {
		host, err := f.next()
		switch {
		case err != nil:
			return ended(f, err)
		case host == nil:
			if _, err := f.next(); !errors.Is(err, io.EOF) {
				return f.fault("Something follows the end of <server-data/>.")
			}
			return nil
		case !is(host, "host"):
			if err := f.skip(host, other); err != nil {
				return err
			}
			continue
		}
		f.enter(host)
		if err := f.users(attr(host, "jid"), begin, part, end, other); err != nil {
			return err
		}
	}
}

// ended makes a problem of the file's end where more was to come.
func ended(f *file, err error) error {
	if errors.Is(err, io.EOF) {
		return f.fault("The file ends before it is complete.")
	}
	return err
}

// skip passes over an element that has no place here.
func (f *file) skip(t *xml.StartElement, other func(string)) error {
	line := f.line()
	if err := f.dec.Skip(); err != nil {
		return f.fault("This is not well-formed XML: %v.", err)
	}
	if t.Name.Space == spaceInclude {
		other(fmt.Sprintf("Line %d: an XInclude of a kind that is not known was passed over.", line))
	} else {
		other(fmt.Sprintf("Line %d: <%s xmlns='%s'/> was passed over: it is not known here.", line, t.Name.Local, t.Name.Space))
	}
	return nil
}

func (f *file) users(host string, begin func(user) error, part func(int, int64, *stanza.Element) error, end func() error, other func(string)) error {
	for {
		t, err := f.next()
		switch {
		case err != nil:
			return ended(f, err)
		case t == nil:
			return nil
		case !is(t, "user"):
			if err := f.skip(t, other); err != nil {
				return err
			}
			continue
		}
		u := user{host: host, name: attr(t, "name"), password: attr(t, "password"), line: f.line()}
		f.enter(t)
		if err := begin(u); err != nil {
			return err
		}
		if err := f.parts(part); err != nil {
			return err
		}
		if err := end(); err != nil {
			return err
		}
	}
}

// parts hands on what is in a <user/>; an archive in pieces.
func (f *file) parts(part func(int, int64, *stanza.Element) error) error {
	for {
		t, err := f.next()
		switch {
		case err != nil:
			return ended(f, err)
		case t == nil:
			return nil
		}
		line := f.line()
		if t.Name.Local == "archive" {
			if err := f.archive(t, part); err != nil {
				return err
			}
			continue
		}
		start := f.at
		el, err := f.element()
		if err != nil {
			return err
		}
		if err := part(line, f.dec.InputOffset()-start, el); err != nil {
			return err
		}
	}
}

func (f *file) archive(t *xml.StartElement, part func(int, int64, *stanza.Element) error) error {
	f.enter(t)
	line, start := f.line(), f.at
	whole := stanza.Element{Name: stanza.Name{Space: t.Name.Space, Local: t.Name.Local}}
	for {
		c, err := f.next()
		if err != nil {
			return ended(f, err)
		}
		if c != nil {
			el, err := f.element()
			if err != nil {
				return err
			}
			whole.Children = append(whole.Children, *el)
		}
		if c == nil || len(whole.Children) == piece {
			if len(whole.Children) > 0 {
				if err := part(line, f.dec.InputOffset()-start, &whole); err != nil {
					return err
				}
			}
			whole.Children, line, start = nil, f.line(), f.dec.InputOffset()
		}
		if c == nil {
			return nil
		}
	}
}
