package command

import (
	"context"
	"errors"
	"slices"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// The actions and the states of XEP-0050 §4.1.
const (
	execute  = "execute"
	cancel   = "cancel"
	prev     = "prev"
	next     = "next"
	complete = "complete"

	executing = "executing"
	completed = "completed"
	canceled  = "canceled"
)

// request is one step as a client asks for it.
type request struct {
	node, action, id string
	continues        bool // there is a sessionid
	asker, at        jid.JID
	lang             string
	form             *form.Form // nil without one
	malformed        error      // of the form
}

// read takes a request apart (XEP-0050 §4.1).
func read(iq *xmpp.IQ) (*request, error) {
	el, _ := iq.Child(ns, "command")
	r := &request{node: el.Attr("node"), action: el.Attr("action"), asker: iq.From, at: iq.To, lang: iq.Lang}
	for _, a := range el.Attrs {
		switch {
		case a.Name == stanza.Name{Local: "sessionid"}:
			r.id, r.continues = a.Value, true
		case a.Name == stanza.Name{Space: "http://www.w3.org/XML/1998/namespace", Local: "lang"}:
			r.lang = a.Value
		}
	}
	switch r.action {
	case "":
		r.action = execute
	case execute, cancel, prev, next, complete:
	default:
		return nil, bad("malformed-action", "There is no such action. Commands know execute, prev, next, complete and cancel.")
	}
	if r.node == "" {
		return nil, stanza.NewError(stanza.BadRequest, "The request does not say which command it means: its node is missing.")
	}
	if !isTag(r.lang) {
		return nil, bad("bad-locale", "The language of the request is no language tag such as en or de-AT.")
	}
	forms := 0
	for i := range el.Children {
		if el.Children[i].Name == (stanza.Name{Space: form.Space, Local: "x"}) {
			forms++
			r.form, r.malformed = form.Parse(&el.Children[i])
		}
	}
	if forms > 1 {
		r.malformed = form.ErrMalformed
	}
	return r, nil
}

// isTag reports a language tag by its outer form (RFC 5646 §2.1), or none.
func isTag(lang string) bool {
	if lang == "" {
		return true
	}
	for part := range strings.SplitSeq(lang, "-") {
		if part == "" || len(part) > 8 || strings.ContainsFunc(part, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
		}) {
			return false
		}
	}
	return true
}

// answer answers one request. A refusal repeats whose it is, as the examples
// of XEP-0050 do: COMPAT(slixmpp 1.8.3) finds the execution by nothing else.
func (m *Module) answer(ctx context.Context, iq *xmpp.IQ) (string, error) {
	result, err := m.step(ctx, iq)
	var e *stanza.Error
	if err == nil || !errors.As(err, &e) || e.Err != nil {
		return result, err
	}
	el, _ := iq.Child(ns, "command")
	var w xmlstream.Writer
	w.Start(ns, "command", "node", el.Attr("node"), "sessionid", el.Attr("sessionid"), "action", el.Attr("action"))
	reply := iq.ErrorReply(e)
	m.host.Send(ctx, reply.WithInner(w.End().String()+reply.Inner()), nil)
	return "", xmpp.ErrLater
}

// step does what one request asks for.
func (m *Module) step(ctx context.Context, iq *xmpp.IQ) (string, error) {
	r, err := read(iq)
	if err != nil {
		return "", err
	}
	list, c := m.at(r.at, r.node)
	switch {
	case len(list) == 0: // XEP-0050 §4.4
		return "", stanza.NewError(stanza.FeatureNotImplemented, "There are no commands at this address.")
	case c == nil:
		return "", stanza.NewError(stanza.ItemNotFound, "There is no such command at this address.")
	case !may(c, r.asker):
		return "", forbidden()
	case r.continues && !m.ids.made(r.id, r.asker, r.at, r.node):
		return "", bad("bad-sessionid", "The request belongs to no command that you have started here.")
	case !r.continues && r.action != execute:
		return "", bad("bad-action", "A command begins with the action execute.")
	case !r.continues:
		return m.start(ctx, c, r)
	}
	e, err := m.resume(r.id)
	if err != nil {
		return "", err
	}
	return m.goOn(ctx, e, r)
}

// start runs a command up to its first page. What is filled in already is not
// looked at: nobody has asked for it.
func (m *Module) start(ctx context.Context, c *xmpp.Command, r *request) (string, error) {
	r.id = m.ids.make(r.asker, r.at, r.node)
	e, err := m.begin(r.id, r.asker)
	if err != nil {
		return "", err
	}
	over := true
	defer func() { m.release(e, over) }()
	p, err := c.Run(ctx, &xmpp.CommandCall{Asker: r.asker, Lang: r.lang, Form: &form.Form{}})
	var again *xmpp.CommandAgain
	if errors.As(err, &again) { // there is no page yet that could be shown again
		p, err = xmpp.CommandFailed(again.Text), nil
	}
	if err != nil {
		return "", err
	}
	answer, over := m.show(e, r, p)
	return answer, nil
}

// goOn takes one step in an execution that is busy for it.
func (m *Module) goOn(ctx context.Context, e *execution, r *request) (string, error) {
	over := false
	defer func() { m.release(e, over) }()
	shown := &e.pages[len(e.pages)-1]
	forward := next
	if shown.Last {
		forward = complete
	}
	switch r.action {
	case cancel:
		over = true
		return command(r, canceled, nil), nil
	case prev:
		if len(e.pages) < 2 {
			return "", bad("bad-action", "This is the first step; there is none before it.")
		}
		e.pages = e.pages[:len(e.pages)-1]
		return m.again(e, r, ""), nil
	case execute, forward:
	default:
		return "", bad("bad-action", "This step cannot be left by "+r.action+", only by "+forward+" or cancel.")
	}
	filled, err := shown.check(r)
	if err != nil {
		return "", err
	}
	shown.filled = keep(filled)
	p, err := shown.Submit(ctx, &xmpp.CommandCall{Asker: r.asker, Lang: r.lang, Form: filled})
	var again *xmpp.CommandAgain
	if errors.As(err, &again) {
		return m.again(e, r, again.Text), nil
	}
	if err != nil {
		return "", err
	}
	answer, over := m.show(e, r, p)
	return answer, nil
}

// check holds what was filled in against what was asked.
func (p *page) check(r *request) (*form.Form, error) {
	if r.malformed != nil {
		return nil, bad("bad-payload", "The form cannot be read: "+plain(r.malformed)+".")
	}
	if p.Form == nil {
		return &form.Form{}, nil
	}
	if r.form != nil && r.form.Type == form.Cancel { // XEP-0050 §3.5.1
		r.form.Type = form.Submit
	}
	if err := p.Form.Check(r.form); err != nil {
		return nil, bad("bad-payload", "The form is not filled in as it should be: "+plain(err)+".")
	}
	return r.form, nil
}

// plain is a form's fault without the words every one begins with.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), form.ErrMalformed.Error()+": ")
}

// show answers with a page and keeps it; over when it is the last.
func (m *Module) show(e *execution, r *request, p *xmpp.CommandPage) (answer string, over bool) {
	if p == nil {
		p = &xmpp.CommandPage{}
	}
	if p.Submit == nil {
		return command(r, completed, func(w *xmlstream.Writer) { write(w, p, p.Form, "") }), true
	}
	if len(e.pages) >= maxBack {
		e.pages = slices.Delete(e.pages, 0, 1)
	}
	e.pages = append(e.pages, page{CommandPage: p})
	return m.again(e, r, ""), false
}

// again answers with the page that is shown now, with a complaint if any.
func (m *Module) again(e *execution, r *request, complaint string) string {
	p := e.pages[len(e.pages)-1]
	return command(r, executing, func(w *xmlstream.Writer) {
		forward := next
		if p.Last {
			forward = complete
		}
		w.Start("", "actions", "execute", forward)
		if len(e.pages) > 1 {
			w.Start("", prev).End()
		}
		w.Start("", forward).End()
		w.End()
		write(w, p.CommandPage, refill(p.Form, p.filled), complaint)
	})
}

// keep copies what was filled in, for the page to be shown again; nil when it
// is too much to keep for that.
func keep(filled *form.Form) *form.Form {
	size := 0
	f := &form.Form{Fields: make([]form.Field, 0, len(filled.Fields))}
	for _, x := range filled.Fields {
		y := form.Field{Var: strings.Clone(x.Var), Values: make([]string, 0, len(x.Values))}
		size += len(x.Var)
		for _, v := range x.Values {
			if size += len(v) + 16; size > maxKept {
				return nil
			}
			y.Values = append(y.Values, strings.Clone(v))
		}
		f.Fields = append(f.Fields, y)
	}
	return f
}

// refill is a form with what was filled in before, but for secrets.
func refill(asked, filled *form.Form) *form.Form {
	if asked == nil || filled == nil {
		return asked
	}
	f := *asked
	f.Fields = slices.Clone(asked.Fields)
	for i := range f.Fields {
		x := &f.Fields[i]
		got := filled.Field(x.Var)
		if got == nil || x.Var == "" || x.Kind == form.Fixed || x.Kind == form.Hidden || x.Kind == form.TextPrivate {
			continue
		}
		x.Values = got.Values
	}
	return &f
}

// write writes a page's contents.
func write(w *xmlstream.Writer, p *xmpp.CommandPage, f *form.Form, complaint string) {
	if f != nil {
		w.Raw(f.XML())
	}
	w.Raw(p.Payload)
	if complaint != "" {
		w.Leaf("", "note", complaint, "type", string(xmpp.CommandFailure))
	}
	for _, n := range p.Notes {
		w.Leaf("", "note", n.Text, "type", string(n.Severity))
	}
}

// command writes the answer's element (XEP-0050 §4.1).
func command(r *request, status string, inside func(*xmlstream.Writer)) string {
	var w xmlstream.Writer
	w.Start(ns, "command", "node", r.node, "sessionid", r.id, "status", status, "xml:lang", "en")
	if inside != nil {
		inside(&w)
	}
	return w.End().String()
}
