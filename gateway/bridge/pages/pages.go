// Package pages is the ad-hoc commands (XEP-0050 1.3.0) of the SMS domain: what
// can be done with texts from a chat client beside chatting. Everybody who may
// text can text several numbers, look at the modems, and see what became of
// their texts; administrators see all texts, talk to the network by USSD, and
// ask for the credit.
//
// Left out: cancelling and sending again, which `doorway queue` does.
//
// Run owns the one goroutine that asks the network; none outlives its call.
package pages

import (
	"context"
	"strings"

	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
)

// Modem is what the commands ask of a modem; *modem.Driver is one.
type Modem interface {
	Status() modem.Status
	USSD(ctx context.Context, code string) (modem.Reply, error)
	Credit(ctx context.Context) (modem.Balance, error)
}

// Config is what the commands work on. Everything in it is safe for concurrent use.
type Config struct {
	Domain string
	// May says who may text, Admin who is an administrator.
	May, Admin func(asker jid.JID) bool
	// Text sends one text; errors for the sender are *transports.Error.
	Text func(ctx context.Context, sender jid.JID, to, body string, urgent bool) (transports.ContactID, transports.Ref, error)
	// Number is what a person typed, as the history knows it.
	Number func(typed string) (transports.ContactID, error)
	// Jobs lists the outbox, newest first, and Describe reads a text out of a job.
	Jobs     func(transports.Filter) ([]transports.Job, error)
	Describe func(transports.Job) (sms.Chain, error)
	Counts   func() map[transports.State]int
	Modems   func() []Modem
	// Presence is the gateway's state in a sentence.
	Presence func() string
}

// prefix is what the nodes begin with, and the FORM_TYPE of all forms.
const prefix = "urn:doorway:sms"

// Pages are the commands. Safe for concurrent use.
type Pages struct {
	Config
	talks chan *talk
}

// New makes them.
func New(c Config) *Pages { return &Pages{c, make(chan *talk, maxTalks)} }

// Commands lists them, in the order of a menu.
func (c *Pages) Commands() []xmpp.Command {
	admin := func(asker jid.JID) bool { return c.May(asker) && c.Admin(asker) }
	list := []xmpp.Command{
		{Node: "send", Name: "Text several numbers", May: c.May, Run: c.send},
		{Node: "history", Name: "What became of texts", May: c.May, Run: c.history},
		{Node: "status", Name: "Modems and waiting texts", May: c.May, Run: c.status},
		{Node: "ussd", Name: "Ask the network by a code (USSD)", May: admin, Run: c.ussd},
		{Node: "credit", Name: "Credit of the SIM card", May: admin, Run: c.credit},
	}
	for i := range list {
		list[i].Domain, list[i].Node = c.Domain, prefix+"#"+list[i].Node
	}
	return list
}

// ask makes a page to be filled in.
func ask(title, instructions string, last bool, submit xmpp.CommandFunc, fields ...form.Field) *xmpp.CommandPage {
	f := form.New(form.Ask, prefix, fields...)
	f.Title, f.Instructions = title, []string{instructions}
	return &xmpp.CommandPage{Form: f, Submit: submit, Last: last}
}

// column is one of a table.
type column struct{ name, label string }

// table makes a last page of rows.
func table(title string, columns []column, rows [][]string) *xmpp.CommandPage {
	f := form.New(form.Result, prefix)
	f.Title = title
	for _, c := range columns {
		f.Reported = append(f.Reported, form.Field{Var: c.name, Kind: form.TextSingle, Label: c.label})
	}
	for _, r := range rows {
		item := make([]form.Field, len(columns))
		for i, c := range columns {
			item[i] = form.Field{Var: c.name, Values: []string{r[i]}}
		}
		f.Items = append(f.Items, item)
	}
	return &xmpp.CommandPage{Form: f}
}

func value(call *xmpp.CommandCall, name string) string {
	v, _ := call.Form.Value(name)
	return strings.TrimSpace(v)
}

// note is a sentence with a severity.
func note(s xmpp.CommandSeverity, text string) xmpp.CommandNote {
	return xmpp.CommandNote{Severity: s, Text: text}
}
