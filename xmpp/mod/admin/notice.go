package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// maxText bounds what administrators write to people, in bytes.
const maxText = 8 << 10

// prioGreet places greetings behind presence, requests and offline messages.
const prioGreet = 300

// greeted marks a session whose first presence was seen.
var greeted = xmpp.Key{Name: "admin"}

// textField asks for a text of several lines.
func textField(name, label, now string, required bool) form.Field {
	f := form.Field{Var: name, Kind: form.TextMulti, Label: label, Required: required}
	if now != "" {
		f.Values = strings.Split(now, "\n")
	}
	return f
}

// written is a text of several lines as it was filled in.
func written(c *xmpp.CommandCall, name string) (string, error) {
	var all string
	if f := c.Form.Field(name); f != nil {
		all = strings.TrimSpace(strings.Join(f.Values, "\n"))
	}
	if len(all) > maxText {
		return "", xmpp.TryAgain("The text is too long; write at most eight thousand characters.")
	}
	return all, nil
}

// needed is written for a text that must be there.
func needed(c *xmpp.CommandCall, name string) (string, error) {
	s, err := written(c, name)
	if err == nil && s == "" {
		err = xmpp.TryAgain("The text is empty.")
	}
	return s, err
}

// tell sends a message of the service to an account.
func (m *Module) tell(ctx context.Context, to jid.JID, subject, body string) {
	var w xmlstream.Writer
	w.Leaf("", "subject", subject).Leaf("", "body", body)
	m.host.Send(ctx, stanza.New(stanza.Message, "", "", m.home, to, w.String()), func(err error) {
		if err != nil {
			m.host.Log().Warn("a message of the service was not delivered", "comp", "admin", "user", to.String(), "err", err)
		}
	})
}

// everybody lists the accounts that are online.
func (m *Module) everybody() (list []jid.JID) {
	for _, a := range m.conf.Accounts.List() {
		if m.online(a.Local) {
			if j, err := jid.New(a.Local, m.home.Domain(), ""); err == nil {
				list = append(list, j)
			}
		}
	}
	return list
}

// announce is XEP-0133 §4.23.
func (m *Module) announce(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Making an Announcement", "Fill out this form to make an announcement to all who are online.",
		func(ctx context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			s, err := needed(c, "announcement")
			if err != nil {
				return nil, err
			}
			return xmpp.CommandDone("Sent to " + count(m.shout(ctx, s)) + "."), nil
		}, textField("announcement", "Announcement", "", true)), nil
}

// shout sends an announcement to all who are online and counts them.
func (m *Module) shout(ctx context.Context, text string) int {
	list := m.everybody()
	for _, j := range list {
		m.tell(ctx, j, "Announcement", text)
	}
	return len(list)
}

// setMOTD is XEP-0133 §4.24: who is online gets it now, others at their next
// login. To edit it (§4.25) corrects the text for those who have not got it.
func (m *Module) setMOTD(edit bool) xmpp.CommandFunc {
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		now := m.settings().MOTD
		if !edit {
			return ask("Setting the Message of the Day", "Everybody gets this message once: now, or at the next login.",
				func(ctx context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
					return m.motdSet(ctx, c, false)
				},
				textField("motd", "Message of the Day", "", true)), nil
		}
		if now.Text == "" {
			return xmpp.CommandFailed("There is no message of the day. Set one first."), nil
		}
		return ask("Editing the Message of the Day", "Those who have had the message do not get it again.",
			func(ctx context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
				return m.motdSet(ctx, c, true)
			},
			textField("motd", "Message of the Day", now.Text, true)), nil
	}
}

func (m *Module) motdSet(ctx context.Context, c *xmpp.CommandCall, edit bool) (*xmpp.CommandPage, error) {
	s, err := needed(c, "motd")
	if err != nil {
		return nil, err
	}
	if err := m.keepMOTD(s, !edit); err != nil {
		return nil, err
	}
	if edit {
		return xmpp.CommandDone("The message of the day is changed."), nil
	}
	list := m.everybody()
	for _, j := range list {
		m.greet(ctx, j)
	}
	return xmpp.CommandDone("Sent to " + count(len(list)) + "; others get it at their next login."), nil
}

// keepMOTD saves the message of the day, as a new one or as the same with
// another text.
func (m *Module) keepMOTD(body string, fresh bool) (err error) {
	m.change.Lock()
	defer m.change.Unlock()
	next := m.settings().MOTD
	next.V, next.Text = 1, body
	if fresh || next.ID == 0 {
		if next.ID, err = m.table.Next(); err != nil {
			return fmt.Errorf("number the message of the day: %w", err)
		}
	}
	return m.save(keyMOTD, next, func(s *settings) { s.MOTD = next })
}

// deleteMOTD is XEP-0133 §4.26. The id stays: the next message has another.
func (m *Module) deleteMOTD(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	m.change.Lock()
	defer m.change.Unlock()
	next := m.settings().MOTD
	if next.Text == "" {
		return xmpp.CommandDone("There was no message of the day."), nil
	}
	next.Text = ""
	if err := m.save(keyMOTD, next, func(s *settings) { s.MOTD = next }); err != nil {
		return nil, err
	}
	return xmpp.CommandDone("The message of the day is deleted."), nil
}

// setWelcome is XEP-0133 §4.27.
func (m *Module) setWelcome(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Setting the Welcome Message", "New people get this message at their first login.",
		func(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			s, err := needed(c, "welcome")
			if err != nil {
				return nil, err
			}
			m.change.Lock()
			defer m.change.Unlock()
			next := text{V: 1, Text: s}
			if err := m.save(keyWelcome, next, func(s *settings) { s.Welcome = next }); err != nil {
				return nil, err
			}
			return xmpp.CommandDone("New people are welcomed with this text."), nil
		}, textField("welcome", "Welcome Message", m.settings().Welcome.Text, true)), nil
}

// deleteWelcome is XEP-0133 §4.28.
func (m *Module) deleteWelcome(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.save(keyWelcome, text{V: 1}, func(s *settings) { s.Welcome = text{} }); err != nil {
		return nil, err
	}
	return xmpp.CommandDone("New people are not welcomed any more."), nil
}

// session notes logins, and ends those of accounts that were switched off
// between their authentication and now.
func (m *Module) session(_ context.Context, e xmpp.SessionEvent) {
	if e.Kind != xmpp.SessionBound {
		return
	}
	j := e.Session.JID()
	if m.conf.Accounts.Disabled(j.Local()) {
		e.Session.Close(&stanza.StreamError{Condition: "not-authorized", Text: "This account is switched off. Ask your administrator."})
		return
	}
	err := m.update(j.Bare(), func(l *login) bool {
		l.At = m.conf.Now().UTC().Truncate(time.Second)
		return true
	})
	if err != nil {
		m.host.Log().Warn("login not noted", "comp", "admin", "user", j.Bare().String(), "err", err)
	}
}

// present greets at the first available presence of a session.
func (m *Module) present(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if st.Type != "" || !st.To.IsZero() || d.Sender == nil || d.Sender.Value(&greeted) != nil {
		return xmpp.Pass, nil
	}
	if _, priority := d.Sender.Presence(); priority < 0 {
		return xmpp.Pass, nil // it takes no messages to the bare JID
	}
	d.Sender.SetValue(&greeted, true)
	m.greet(ctx, d.Sender.JID().Bare())
	return xmpp.Pass, nil
}

// greet sends the welcome and the message of the day to who has not had them.
// That they had is queued for the disk first.
func (m *Module) greet(ctx context.Context, account jid.JID) {
	set := m.settings()
	var first, news bool
	err := m.update(account, func(l *login) bool {
		first, news = !l.Welcomed, set.MOTD.Text != "" && l.MOTD != set.MOTD.ID
		l.Welcomed = true
		if news {
			l.MOTD = set.MOTD.ID
		}
		return first || news
	})
	if err != nil {
		m.host.Log().Warn("nobody is greeted", "comp", "admin", "user", account.String(), "err", err)
		return
	}
	if !first && !news {
		return
	}
	m.write()
	if first && set.Welcome.Text != "" {
		m.tell(ctx, account, "Welcome", set.Welcome.Text)
	}
	if news {
		m.tell(ctx, account, "Message of the day", set.MOTD.Text)
	}
}
