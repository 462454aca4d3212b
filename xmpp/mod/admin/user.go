package admin

import (
	"context"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// ask makes a page that asks once.
func ask(title, instructions string, submit xmpp.CommandFunc, fields ...form.Field) *xmpp.CommandPage {
	f := form.New(form.Ask, formType, fields...)
	f.Title, f.Instructions = title, []string{instructions}
	return &xmpp.CommandPage{Form: f, Submit: submit, Last: true}
}

func one(label string) form.Field {
	return form.Field{Var: "accountjid", Kind: form.JIDSingle, Label: label, Required: true}
}

func several(label string) form.Field {
	return form.Field{Var: "accountjids", Kind: form.JIDMulti, Label: label, Required: true}
}

func secret(name, label string, required bool) form.Field {
	return form.Field{Var: name, Kind: form.TextPrivate, Label: label, Required: required}
}

func value(c *xmpp.CommandCall, name string) string {
	v, _ := c.Form.Value(name)
	return v
}

// bares reads accountjids: addresses of accounts that exist, each once.
func (m *Module) bares(c *xmpp.CommandCall) ([]jid.JID, error) {
	var list []jid.JID
	for _, typed := range c.Form.Field("accountjids").Values {
		j, err := m.local(strings.TrimSpace(typed))
		if err != nil {
			return nil, err
		}
		if j.IsFull() {
			return nil, xmpp.TryAgain("Give the address without a resource: " + j.Bare().String() + ".")
		}
		list = append(list, j)
	}
	return list, nil
}

// addUser is XEP-0133 §4.1.
func (m *Module) addUser(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Adding a User", "Fill out this form to add a user.", m.added,
		one("The Jabber ID for the account to be added"), secret("password", "The password for this account", false),
		secret("password-verify", "Retype password", false), form.Text("given_name", "Given name", ""), form.Text("surname", "Family name", "")), nil
}

func (m *Module) added(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	j, err := jid.Parse(strings.TrimSpace(value(c, "accountjid")))
	switch {
	case err != nil || j.Domain() != m.home.Domain() || j.Local() == "" || j.IsFull():
		return nil, xmpp.TryAgain("The address of an account looks like name@" + m.home.String() + ".")
	case value(c, "password") == "":
		return nil, xmpp.TryAgain("An account needs a password.")
	case value(c, "password") != value(c, "password-verify"):
		return nil, xmpp.TryAgain("The two passwords differ. Type the same one twice.")
	}
	name := strings.TrimSpace(value(c, "given_name") + " " + value(c, "surname"))
	if err := m.conf.Accounts.Add(j.Local(), value(c, "password"), name); err != nil {
		return nil, err
	}
	return xmpp.CommandDone(j.String() + " can log in now."), nil
}

// deleteUser is XEP-0133 §4.2.
func (m *Module) deleteUser(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Deleting a User", "Everything that belongs to these accounts is removed for ever.",
		m.each("Deleted: ", func(j jid.JID) error { return m.conf.Accounts.Remove(j.Local()) }),
		several("The Jabber ID(s) to delete")), nil
}

// disableUser is XEP-0133 §4.3, or §4.4 when it is to enable.
func (m *Module) disableUser(disable bool) xmpp.CommandFunc {
	title, text, label, done := "Disabling a User", "These accounts cannot log in until they are re-enabled. Messages for them are kept.", "The Jabber ID(s) to disable", "Disabled: "
	if !disable {
		title, text, label, done = "Re-Enable a User", "These accounts can log in again.", "The Jabber ID(s) to re-enable", "Re-enabled: "
	}
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		return ask(title, text, m.each(done, func(j jid.JID) error { return m.conf.Accounts.SetDisabled(j.Local(), disable) }), several(label)), nil
	}
}

// each does something to each account, after all addresses were looked at.
func (m *Module) each(done string, do func(jid.JID) error) xmpp.CommandFunc {
	return func(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		list, err := m.bares(c)
		if err != nil {
			return nil, err
		}
		for _, j := range list {
			if j == c.Asker.Bare() {
				return nil, stanza.NewError(stanza.NotAllowed, "You cannot do this to your own account. Another administrator can, or the command line.")
			}
		}
		var names []string
		for _, j := range list {
			if err := do(j); err != nil {
				if len(names) == 0 {
					return nil, err
				}
				return again(done+strings.Join(names, ", ")+".", err), nil
			}
			names = append(names, j.String())
		}
		return xmpp.CommandDone(done + strings.Join(names, ", ") + "."), nil
	}
}

// endSession is XEP-0133 §4.5: all sessions of a bare JID, one of a full JID.
func (m *Module) endSession(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Ending a User Session", "An address with a resource ends that session, one without ends all.",
		m.sessionsEnded, several("The Jabber ID(s) for which to end sessions")), nil
}

func (m *Module) sessionsEnded(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	var ending []xmpp.Session
	for _, typed := range c.Form.Field("accountjids").Values {
		j, err := m.local(strings.TrimSpace(typed))
		if err != nil {
			return nil, err
		}
		found := false
		for _, s := range m.host.Sessions(j.Bare()) {
			if !j.IsFull() || s.JID() == j {
				ending, found = append(ending, s), true
			}
		}
		if !found {
			return nil, stanza.NewError(stanza.ItemNotFound, j.String()+" is not online.")
		}
	}
	for _, s := range ending {
		s.Close(&stanza.StreamError{Condition: "policy-violation", Text: "An administrator has ended this session."})
	}
	return xmpp.CommandDone("The sessions are ended."), nil
}

// changePassword is XEP-0133 §4.7.
func (m *Module) changePassword(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Changing a User Password", "Fill out this form to change a user's password.", m.passwordChanged,
		one("The Jabber ID for this account"), secret("password", "The password for this account", true)), nil
}

func (m *Module) passwordChanged(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	j, err := m.local(strings.TrimSpace(value(c, "accountjid")))
	if err != nil {
		return nil, err
	}
	if err := m.conf.Accounts.SetPassword(j.Local(), value(c, "password")); err != nil {
		return nil, err
	}
	return xmpp.CommandDone("The password of " + j.Bare().String() + " is changed; streams that are open stay open."), nil
}
