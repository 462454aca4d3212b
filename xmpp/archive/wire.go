package archive

import (
	"time"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Namespaces and features of an archive.
const (
	Space     = "urn:xmpp:mam:2"
	Extended  = Space + "#extended"
	Groupchat = Space + "#groupchat-field" // the field is known; nothing of rooms is in accounts' archives
	IDSpace   = "urn:xmpp:sid:0"           // XEP-0359

	forward = "urn:xmpp:forward:0" // XEP-0297
	delay   = "urn:xmpp:delay"     // XEP-0203
	checked = "http://jabber.org/protocol/xdata-validate"
)

// maxQueryID bounds what is repeated in every result.
const maxQueryID = 1024

// StanzaID is the <stanza-id/> that says where a message is archived (XEP-0359 §3).
func StanzaID(by jid.JID, id string) string {
	var w xmlstream.Writer
	return w.Start(IDSpace, "stanza-id", "by", by.String(), "id", id).End().String()
}

// IsStanzaID reports a <stanza-id/> of that entity, which nobody else may put
// into a message (XEP-0359 §4).
func IsStanzaID(e *stanza.Element, by jid.JID) bool {
	if e.Name != (stanza.Name{Space: IDSpace, Local: "stanza-id"}) {
		return false
	}
	j, err := jid.Parse(e.Attr("by"))
	return err == nil && j == by
}

// Form is the answer to the question which fields there are (XEP-0313 §4.1.5).
func Form() string {
	return "<query xmlns='" + Space + "'><x xmlns='" + form.Space + "' type='form'>" +
		"<field type='hidden' var='FORM_TYPE'><value>" + Space + "</value></field>" +
		"<field type='jid-single' var='with'/><field type='text-single' var='start'/><field type='text-single' var='end'/>" +
		"<field type='text-single' var='before-id'/><field type='text-single' var='after-id'/>" +
		"<field type='list-multi' var='ids'><validate xmlns='" + checked + "' datatype='xs:string'><open/></validate></field>" +
		"<field type='boolean' var='include-groupchat'/></x></query>"
}

// Metadata is the answer to <metadata/> (XEP-0313 §5), about what is greater
// than floor.
func (a *Archive) Metadata(owner jid.JID, floor ID) (string, error) {
	first, last, ok, err := a.Ends(owner, floor)
	if err != nil {
		return "", err
	}
	var w xmlstream.Writer
	w.Start(Space, "metadata")
	if ok {
		w.Start("", "start", "id", first.ID.String(), "timestamp", stamp(first.At)).End()
		w.Start("", "end", "id", last.ID.String(), "timestamp", stamp(last.At)).End()
	}
	return w.End().String(), nil
}

// stamp is XEP-0082, as exact as start and end are compared.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// ParseQuery reads a <query/> (XEP-0313 §4). Errors are *stanza.Error.
func ParseQuery(el *stanza.Element) (Query, error) {
	q := Query{ID: el.Attr("queryid"), Flip: el.Child(Space, "flip-page") != nil}
	if len(q.ID) > maxQueryID {
		return q, stanza.NewError(stanza.BadRequest, "The id of the query is too long.")
	}
	var err error
	if q.Page, err = rsm.Of(el); err != nil {
		return q, err
	}
	f, err := form.Of(el)
	switch {
	case err != nil:
		return q, stanza.NewError(stanza.BadRequest, "The query's form cannot be read.")
	case f == nil:
		return q, nil
	case f.Type != form.Submit || f.FormType() != Space:
		return q, stanza.NewError(stanza.BadRequest, "The query's form must be submitted with the FORM_TYPE "+Space+".")
	}
	seen := make(map[string]bool, len(f.Fields))
	for i := range f.Fields {
		field := &f.Fields[i]
		if seen[field.Var] || len(field.Values) > 1 && field.Var != "ids" {
			return q, stanza.NewError(stanza.BadRequest, "The field "+field.Var+" takes one value.")
		}
		seen[field.Var] = true
		if err := q.field(field); err != nil {
			return q, err
		}
	}
	return q, nil
}

// field takes one field of the form. One without a value is as good as absent.
func (q *Query) field(f *form.Field) (err error) {
	value := ""
	if len(f.Values) > 0 {
		value = f.Values[0]
	}
	empty := len(f.Values) == 0
	switch f.Var {
	case form.TypeField:
	case "with":
		if empty {
			return nil
		}
		if q.With, err = jid.Parse(value); err != nil {
			return stanza.NewError(stanza.BadRequest, "The field with is not an address.")
		}
	case "start", "end":
		if empty {
			return nil
		}
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return stanza.NewError(stanza.BadRequest, "The field "+f.Var+" is not a time such as 2026-01-31T12:00:00Z.")
		}
		if f.Var == "start" {
			q.Start = t
		} else {
			q.End = t
		}
	case "after-id":
		q.After, err = reference(f)
	case "before-id":
		q.Before, err = reference(f)
	case "ids":
		if !empty {
			q.IDs = f.Values
		}
	case "include-groupchat":
		if _, ok := form.Bool(value); !ok && !empty {
			return stanza.NewError(stanza.BadRequest, "The field include-groupchat is true or false.")
		}
	default:
		return stanza.NewError(stanza.FeatureNotImplemented, "The archive cannot be asked by the field "+f.Var+".") // XEP-0313 §4.1.5
	}
	return err
}

// reference is an id in a field.
func reference(f *form.Field) (string, error) {
	if len(f.Values) == 0 {
		return "", nil
	}
	if f.Values[0] == "" {
		return "", errNoID()
	}
	return f.Values[0], nil
}

// Show is what the one who asks may see of an archived message: another one, or
// nil for nothing but its id and time. A room hides real addresses this way.
type Show func(*stanza.Stanza) *stanza.Stanza

// Answer serves an IQ set with a <query/> from an owner's archive: send is
// called for each result, and what it returns is the inner XML of the IQ's
// result. The caller has seen to it that the one who asks may. show may be nil.
func (a *Archive) Answer(iq *stanza.Stanza, owner jid.JID, show Show, send func(*stanza.Stanza)) (string, error) {
	el, ok := iq.Child(Space, "query")
	if !ok {
		return "", stanza.NewError(stanza.BadRequest, "The request holds no query.")
	}
	q, err := ParseQuery(&el)
	if err != nil {
		return "", err
	}
	return a.AnswerQuery(q, owner, iq.From, show, send)
}

// AnswerQuery is Answer for a query that was read, and perhaps changed, before.
func (a *Archive) AnswerQuery(q Query, owner, asker jid.JID, show Show, send func(*stanza.Stanza)) (string, error) {
	p, err := a.Page(owner, q)
	if err != nil {
		return "", err
	}
	for i := range p.Messages {
		send(stanza.New(stanza.Message, "", "", owner, asker, result(&p.Messages[i], q.ID, show)))
	}
	complete := ""
	if p.Complete {
		complete = "true"
	}
	var w xmlstream.Writer
	w.Start(Space, "fin", "complete", complete).Raw(p.Result.XML())
	return w.End().String(), nil
}

// result is one <result/> (XEP-0313 §4.2).
func result(m *Message, queryID string, show Show) string {
	xml := m.XML
	if show != nil {
		xml = ""
		if st, err := m.Stanza(); err == nil {
			if st = show(st); st != nil {
				xml = string(st.AppendXML(nil, "jabber:client"))
			}
		}
	}
	var w xmlstream.Writer
	w.Start(Space, "result", "queryid", queryID, "id", m.ID.String()).Start(forward, "forwarded")
	w.Start(delay, "delay", "stamp", stamp(m.At)).End()
	return w.Raw(xml).String()
}
