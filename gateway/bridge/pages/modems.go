package pages

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"doorway/modem"
	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/form"
)

func (c *Pages) status(_ context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	admin := c.Admin(call.Asker)
	n := c.Counts()
	waiting := n[transports.Queued] + n[transports.Leased] + n[transports.RetryWait]
	notes := []xmpp.CommandNote{note(xmpp.CommandInfo, fmt.Sprintf("%d texts wait, %d are on their way to their phones.", waiting, n[transports.OnAir]+n[transports.Accepted]))}
	if text := c.Presence(); text != "" {
		notes = append([]xmpp.CommandNote{note(xmpp.CommandInfo, text)}, notes...)
	}
	columns := []column{{"modem", "Modem"}, {"state", "State"}, {"operator", "Operator"}, {"technology", "Technology"}, {"signal", "Signal"}, {"text", "In words"}}
	if admin {
		columns = append(columns, column{"number", "Own number"}, column{"credit", "Credit as asked for last"})
	}
	var rows [][]string
	for _, m := range c.Modems() {
		st := m.Status()
		signal := ""
		if st.RSSI != 0 {
			signal = fmt.Sprintf("%d dBm", st.RSSI)
		}
		row := []string{st.Name, string(st.State), st.Operator, st.Technology, signal, st.Text}
		if admin {
			credit := ""
			if st.Credit != nil {
				credit = balance(*st.Credit)
			}
			row = append(row, st.Number, credit)
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return &xmpp.CommandPage{Notes: notes}, nil
	}
	page := table("Modems and waiting texts", columns, rows)
	page.Notes = notes
	return page, nil
}

// balance is a credit in words.
func balance(b modem.Balance) string {
	return strings.TrimSpace(fmt.Sprintf("%.2f %s", b.Amount, b.Currency)) + ", " + b.At.Local().Format("2006-01-02 15:04")
}

// noModem is what is said where there is none.
const noModem = `No modem is configured. Add a section [[modem]] with device = "auto" to doorway.toml.`

// modemField chooses one of several modems; nothing where there is only one.
func (c *Pages) modemField() []form.Field {
	list := c.Modems()
	if len(list) < 2 {
		return nil
	}
	var options []form.Option
	for _, m := range list {
		name := m.Status().Name
		options = append(options, form.Option{Label: name, Value: name})
	}
	return []form.Field{form.Choice("modem", "Modem", options[0].Value, options...)}
}

// chosen is the modem of a form with modemField, nil when it has gone.
func (c *Pages) chosen(call *xmpp.CommandCall) Modem {
	list, name := c.Modems(), value(call, "modem")
	for _, m := range list {
		if m.Status().Name == name || name == "" && len(list) == 1 {
			return m
		}
	}
	return nil
}

func (c *Pages) ussd(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	if len(c.Modems()) == 0 {
		return xmpp.CommandFailed(noModem), nil
	}
	code := form.Text("code", "Code, such as *100#", "")
	code.Required = true
	return ask("Ask the network", "The answer may take some time. Codes can cost money and change what the SIM card may do.", false,
		func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			m := c.chosen(call)
			if m == nil {
				return nil, xmpp.TryAgain("There is no such modem.")
			}
			return c.dial(ctx, m, value(call, "code"))
		}, append(c.modemField(), code)...), nil
}

// dial sends a code, or the answer to what the network has asked, and shows what it says.
func (c *Pages) dial(ctx context.Context, m Modem, code string) (*xmpp.CommandPage, error) {
	return c.begin(ctx, func(ctx context.Context) (*xmpp.CommandPage, error) {
		r, err := m.USSD(ctx, code)
		if err != nil {
			return nil, talkError(m, err)
		}
		if !r.More {
			f := form.New(form.Result, prefix, form.Field{Var: "answer", Kind: form.TextMulti, Label: "The network says", Values: strings.Split(r.Text, "\n")})
			f.Title = "Ask the network"
			return &xmpp.CommandPage{Form: f}, nil
		}
		answer := form.Text("code", "Your answer", "")
		answer.Required = true
		page := ask("The network asks", "", false, func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			return c.dial(ctx, m, value(call, "code"))
		}, answer)
		page.Form.Instructions = strings.Split(r.Text, "\n")
		return page, nil
	})
}

// talkError makes a sentence of an error of USSD; the page may be sent again.
func talkError(m Modem, err error) error {
	var talk *modem.TalkError
	switch {
	case errors.As(err, &talk):
		return xmpp.TryAgain(talk.Text)
	case errors.Is(err, modem.ErrDown):
		return xmpp.TryAgain("The modem cannot be asked now. " + m.Status().Text)
	}
	return err
}

func (c *Pages) credit(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	switch list := c.Modems(); len(list) {
	case 0:
		return xmpp.CommandFailed(noModem), nil
	case 1:
		return c.askCredit(ctx, call)
	}
	return ask("Credit of the SIM card", "The answer may take some time.", false, c.askCredit, c.modemField()...), nil
}

func (c *Pages) askCredit(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	m := c.chosen(call)
	if m == nil {
		return nil, xmpp.TryAgain("There is no such modem.")
	}
	return c.begin(ctx, func(ctx context.Context) (*xmpp.CommandPage, error) {
		b, err := m.Credit(ctx)
		if err != nil {
			return nil, talkError(m, err)
		}
		f := form.New(form.Result, prefix,
			form.Text("modem", "Modem", m.Status().Name),
			form.Text("credit", "Credit", strings.TrimSpace(fmt.Sprintf("%.2f %s", b.Amount, b.Currency))),
			form.Field{Var: "answer", Kind: form.TextMulti, Label: "The network says", Values: strings.Split(b.Text, "\n")})
		f.Title = "Credit of the SIM card"
		return &xmpp.CommandPage{Form: f}, nil
	})
}
