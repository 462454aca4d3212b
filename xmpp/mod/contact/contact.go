// Package contact tells clients and other servers whom to turn to (XEP-0157
// 1.1.1): administrators, who takes reports of abuse, support and the rest, as a
// form in the disco#info of the server (XEP-0128), which is in the server's own
// entity capabilities too.
//
// Addresses are URIs: mailto:, xmpp:, https:. The package starts no goroutine
// and keeps nothing.
package contact

import (
	"doorway/xmpp"
	"doorway/xmpp/form"
)

const formType = "http://jabber.org/network/serverinfo"

// Addresses are URIs for each of the roles that XEP-0157 §6.1 registers.
type Addresses struct {
	Abuse, Admin, Feedback, Sales, Security, Status, Support []string
}

// Module is XEP-0157.
type Module struct{ addresses func() Addresses }

var _ xmpp.Module = (*Module)(nil)

// New makes the module; addresses answers from memory at each request.
func New(addresses func() Addresses) *Module { return &Module{addresses} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "contact", Specs: []xmpp.Spec{{Doc: "XEP-0157", Version: "1.1.1", Title: "Contact Addresses for XMPP Services"}}}
}

// Load registers the form.
func (m *Module) Load(h xmpp.Host) error {
	h.Form(xmpp.ToHost, m.form)
	return nil
}

// form has a field for each role that somebody fills; nil for none.
func (m *Module) form() *form.Form {
	a := m.addresses()
	f := form.New(form.Result, formType)
	for _, role := range []struct {
		name string
		uris []string
	}{
		{"abuse", a.Abuse}, {"admin", a.Admin}, {"feedback", a.Feedback}, {"sales", a.Sales},
		{"security", a.Security}, {"status", a.Status}, {"support", a.Support},
	} {
		if len(role.uris) > 0 {
			f.Fields = append(f.Fields, form.Field{Var: role.name + "-addresses", Kind: form.ListMulti, Values: role.uris})
		}
	}
	if len(f.Fields) == 1 {
		return nil
	}
	return f
}
