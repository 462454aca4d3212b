// Package form reads, checks and writes data forms (XEP-0004 2.13.1, with the
// form types of XEP-0068 1.3): what rooms, commands, archives and gateways ask
// of people and of programs.
//
// A form that came from outside is bounded in fields and values. Fields that
// are not in the form that was asked stay unread by Check, as the standard
// wants; values of the wrong kind are an error that names the field. Left out:
// media elements, validation after XEP-0122, layout. No goroutines.
package form

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Space is the namespace of data forms.
const Space = "jabber:x:data"

// TypeField is the name of the field that says what a form is about (XEP-0068).
const TypeField = "FORM_TYPE"

// Types of a form (XEP-0004 §3.1).
const (
	Ask    = "form"
	Submit = "submit"
	Cancel = "cancel"
	Result = "result"
)

// Kinds of a field (XEP-0004 §3.3).
const (
	Boolean     = "boolean"
	Fixed       = "fixed"
	Hidden      = "hidden"
	JIDMulti    = "jid-multi"
	JIDSingle   = "jid-single"
	ListMulti   = "list-multi"
	ListSingle  = "list-single"
	TextMulti   = "text-multi"
	TextPrivate = "text-private"
	TextSingle  = "text-single"
)

// What Parse takes at most.
const (
	maxFields = 256
	maxValues = 4096 // of all fields together
)

// ErrMalformed is wrapped by every error of this package; its stanza error is
// bad-request.
var ErrMalformed = errors.New("malformed form")

// Form is a data form. The zero value is an empty one without a type.
type Form struct {
	Type         string
	Title        string
	Instructions []string
	Fields       []Field
	Reported     []Field   // of a result with several items (XEP-0004 §3.4)
	Items        [][]Field // likewise
}

// Field is one field of a form.
type Field struct {
	Var, Kind   string // Kind "" in a submitted form: the one who asked knows it
	Label, Desc string
	Required    bool
	Values      []string
	Options     []Option
}

// Option is a choice of a list field.
type Option struct{ Label, Value string }

// Parse reads an <x xmlns='jabber:x:data'/>. Errors wrap ErrMalformed: no
// form, an unknown type, a field without a name, too much of anything.
func Parse(el *stanza.Element) (*Form, error) {
	if el.Name != (stanza.Name{Space: Space, Local: "x"}) {
		return nil, fmt.Errorf("%w: not a form", ErrMalformed)
	}
	f := &Form{Type: el.Attr("type")}
	switch f.Type {
	case Ask, Submit, Cancel, Result:
	default:
		return nil, fmt.Errorf("%w: no form of type %q", ErrMalformed, f.Type)
	}
	left := budget{maxFields, maxValues}
	for i := range el.Children {
		c := &el.Children[i]
		if c.Name.Space != Space {
			continue
		}
		var err error
		switch c.Name.Local {
		case "title":
			f.Title = c.Text
		case "instructions":
			f.Instructions = append(f.Instructions, c.Text)
		case "field":
			var field Field
			if field, err = left.field(c); err == nil {
				f.Fields = append(f.Fields, field)
			}
		case "reported":
			f.Reported, err = left.list(c)
		case "item":
			var item []Field
			if item, err = left.list(c); err == nil {
				f.Items = append(f.Items, item)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Of finds the form among an element's children; nil, nil without one.
func Of(parent *stanza.Element) (*Form, error) {
	el := parent.Child(Space, "x")
	if el == nil {
		return nil, nil
	}
	return Parse(el)
}

// budget is what may still be read.
type budget struct{ fields, values int }

func (b *budget) list(el *stanza.Element) ([]Field, error) {
	var list []Field
	for i := range el.Children {
		if c := &el.Children[i]; c.Name == (stanza.Name{Space: Space, Local: "field"}) {
			f, err := b.field(c)
			if err != nil {
				return nil, err
			}
			list = append(list, f)
		}
	}
	return list, nil
}

func (b *budget) field(el *stanza.Element) (Field, error) {
	f := Field{Var: el.Attr("var"), Kind: el.Attr("type"), Label: el.Attr("label")}
	if b.fields--; b.fields < 0 {
		return f, fmt.Errorf("%w: more than %d fields", ErrMalformed, maxFields)
	}
	if f.Var == "" && f.Kind != Fixed { // XEP-0004 §3.2
		return f, fmt.Errorf("%w: a field without a name", ErrMalformed)
	}
	for i := range el.Children {
		c := &el.Children[i]
		if c.Name.Space != Space {
			continue
		}
		switch c.Name.Local {
		case "value":
			if b.values--; b.values < 0 {
				return f, fmt.Errorf("%w: more than %d values", ErrMalformed, maxValues)
			}
			f.Values = append(f.Values, c.Text)
		case "required":
			f.Required = true
		case "desc":
			f.Desc = c.Text
		case "option":
			if b.values--; b.values < 0 {
				return f, fmt.Errorf("%w: more than %d options", ErrMalformed, maxValues)
			}
			f.Options = append(f.Options, Option{Label: c.Attr("label"), Value: c.ChildText("", "value")})
		}
	}
	return f, nil
}

// Field returns the field of that name, nil without one.
func (f *Form) Field(name string) *Field {
	if i := slices.IndexFunc(f.Fields, func(x Field) bool { return x.Var == name }); i >= 0 {
		return &f.Fields[i]
	}
	return nil
}

// Value is the first value of a field; ok false when the field is absent or
// has none.
func (f *Form) Value(name string) (v string, ok bool) {
	x := f.Field(name)
	if x == nil || len(x.Values) == 0 {
		return "", false
	}
	return x.Values[0], true
}

// FormType is the value of FORM_TYPE, "" without one.
func (f *Form) FormType() string {
	v, _ := f.Value(TypeField)
	return v
}

// Bool reads a boolean (XEP-0004 §3.3: 0, 1, false, true).
func Bool(v string) (b, ok bool) {
	switch v {
	case "1", "true":
		return true, true
	case "0", "false":
		return false, true
	}
	return false, false
}

// Check holds a submitted form against the one that was asked: no form or
// another FORM_TYPE, a field given twice, a value of the wrong kind or not
// among the options. Fields that were not asked are not looked at, absent ones
// are all right unless they are required. Errors wrap ErrMalformed and say
// which field.
func (f *Form) Check(submitted *Form) error {
	if submitted == nil || submitted.Type != Submit {
		return fmt.Errorf("%w: nothing was submitted", ErrMalformed)
	}
	if want := f.FormType(); want != "" && submitted.FormType() != want && (submitted.FormType() != "" || len(submitted.Fields) > 0) {
		return fmt.Errorf("%w: the form is not of type %s", ErrMalformed, want)
	}
	for i := range submitted.Fields {
		got := &submitted.Fields[i]
		asked := f.Field(got.Var)
		if asked == nil || asked.Kind == Fixed || got.Var == "" {
			continue
		}
		if submitted.Field(got.Var) != got {
			return fmt.Errorf("%w: %s is there twice", ErrMalformed, got.Var)
		}
		if err := asked.check(got.Values); err != nil {
			return err
		}
	}
	for i := range f.Fields {
		if asked := &f.Fields[i]; asked.Required {
			if v, ok := submitted.Value(asked.Var); !ok || v == "" {
				return fmt.Errorf("%w: %s is required", ErrMalformed, asked.Var)
			}
		}
	}
	return nil
}

// check holds values against the field's kind.
func (f *Field) check(values []string) error {
	several := f.Kind == JIDMulti || f.Kind == ListMulti || f.Kind == TextMulti
	if len(values) > 1 && !several {
		return fmt.Errorf("%w: %s takes one value", ErrMalformed, f.Var)
	}
	for _, v := range values {
		good := true
		switch f.Kind {
		case Boolean:
			_, good = Bool(v)
		case ListSingle, ListMulti:
			good = len(f.Options) == 0 || slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == v })
		case JIDSingle, JIDMulti:
			if v != "" || f.Kind == JIDMulti {
				_, err := jid.Parse(strings.TrimSpace(v))
				good = err == nil
			}
		}
		if !good {
			return fmt.Errorf("%w: %s cannot be %q", ErrMalformed, f.Var, v)
		}
	}
	return nil
}

// XML writes the form.
func (f *Form) XML() string {
	var w xmlstream.Writer
	w.Start(Space, "x", "type", f.Type)
	if f.Title != "" {
		w.Leaf("", "title", f.Title)
	}
	for _, i := range f.Instructions {
		w.Leaf("", "instructions", i)
	}
	if len(f.Reported) > 0 {
		w.Start("", "reported")
		write(&w, f.Reported)
		w.End()
	}
	write(&w, f.Fields)
	for _, item := range f.Items {
		w.Start("", "item")
		write(&w, item)
		w.End()
	}
	return w.End().String()
}

func write(w *xmlstream.Writer, fields []Field) {
	for i := range fields {
		f := &fields[i]
		w.Start("", "field", "var", f.Var, "type", f.Kind, "label", f.Label)
		if f.Desc != "" {
			w.Leaf("", "desc", f.Desc)
		}
		if f.Required {
			w.Start("", "required").End()
		}
		for _, v := range f.Values {
			w.Leaf("", "value", v)
		}
		for _, o := range f.Options {
			w.Start("", "option", "label", o.Label).Leaf("", "value", o.Value).End()
		}
		w.End()
	}
}

// New makes a form with its FORM_TYPE; "" leaves that out.
func New(typ, formType string, fields ...Field) *Form {
	f := &Form{Type: typ}
	if formType != "" {
		f.Fields = append(f.Fields, Field{Var: TypeField, Kind: Hidden, Values: []string{formType}})
	}
	f.Fields = append(f.Fields, fields...)
	return f
}

// Text is a field of one line of text.
func Text(name, label, value string) Field {
	f := Field{Var: name, Kind: TextSingle, Label: label}
	if value != "" {
		f.Values = []string{value}
	}
	return f
}

// Switch is a boolean field.
func Switch(name, label string, on bool) Field {
	v := "0"
	if on {
		v = "1"
	}
	return Field{Var: name, Kind: Boolean, Label: label, Values: []string{v}}
}

// Choice is a list of which one is chosen.
func Choice(name, label, value string, options ...Option) Field {
	return Field{Var: name, Kind: ListSingle, Label: label, Values: []string{value}, Options: options}
}
