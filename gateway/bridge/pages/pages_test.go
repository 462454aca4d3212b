package pages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
)

var (
	root = jid.MustParse("root@office.example/desk")
	anna = jid.MustParse("anna@office.example/phone")
)

// desk is what the commands work on: an outbox in memory and scripted modems.
type desk struct {
	mu     sync.Mutex // guards texts
	texts  []sms.Chain
	modems []Modem
}

func (d *desk) text(_ context.Context, sender jid.JID, to, body string, urgent bool) (transports.ContactID, transports.Ref, error) {
	if strings.HasSuffix(to, "9") {
		return "", "", &transports.Error{Kind: transports.Refused, Text: to + " wants no texts."}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := uint64(len(d.texts) + 1)
	d.texts = append(d.texts, sms.Chain{ID: id, To: to, Sender: sender.Bare().String(), Body: body, Urgent: urgent, State: transports.Queued, Created: time.Now()})
	return transports.ContactID(to), transports.Ref(fmt.Sprintf("sms-%d", id)), nil
}

func (d *desk) jobs(f transports.Filter) (list []transports.Job, _ error) {
	for i := len(d.texts) - 1; i >= 0 && len(list) < f.Limit; i-- {
		if t := d.texts[i]; (f.Before == 0 || t.ID < f.Before) && (f.Dest == "" || t.To == f.Dest) {
			list = append(list, transports.Job{ID: t.ID})
		}
	}
	return list, nil
}

func (d *desk) config() *Pages {
	return New(Config{
		Domain: "sms.office.example", Text: d.text, Jobs: d.jobs,
		May:   func(j jid.JID) bool { return j.Domain() == "office.example" },
		Admin: func(j jid.JID) bool { return j.Bare() == root.Bare() },
		Number: func(typed string) (transports.ContactID, error) {
			n := strings.ReplaceAll(typed, " ", "")
			if strings.Trim(n, "+0123456789") != "" {
				return "", &transports.Error{Kind: transports.NotFound, Text: "“" + typed + "” is not a phone number."}
			}
			return transports.ContactID(n), nil
		},
		Describe: func(j transports.Job) (sms.Chain, error) { return d.texts[j.ID-1], nil },
		Counts:   func() map[transports.State]int { return map[transports.State]int{transports.Queued: len(d.texts)} },
		Modems:   func() []Modem { return d.modems },
		Presence: func() string { return "Testnet, signal -71 dBm" },
	})
}

// gsm is a modem with a menu behind *101#.
type gsm struct{ name string }

func (g gsm) Status() modem.Status {
	return modem.Status{Name: g.name, State: modem.Ready, Operator: "Testnet", RSSI: -71, Number: "+4915550100", Text: "The modem is ready."}
}

func (g gsm) USSD(_ context.Context, code string) (modem.Reply, error) {
	switch code {
	case "*101#":
		return modem.Reply{Text: "1 Balance\n2 Data", More: true}, nil
	case "*100#", "1":
		return modem.Reply{Text: "Your balance is 12.34 EUR."}, nil
	case "*9#":
		<-time.After(time.Minute)
		return modem.Reply{Text: "At last."}, nil
	case "*0#":
		return modem.Reply{}, modem.ErrDown
	}
	return modem.Reply{}, &modem.TalkError{Text: "The network does not know this code."}
}

func (g gsm) Credit(context.Context) (modem.Balance, error) {
	return modem.Balance{Amount: 12.34, Currency: "EUR", Text: "Your balance is 12.34 EUR."}, nil
}

// open runs a command to its first page.
func open(t *testing.T, c *Pages, who jid.JID, node string) *xmpp.CommandPage {
	t.Helper()
	for _, cmd := range c.Commands() {
		if cmd.Node != prefix+"#"+node || cmd.Domain != c.Domain {
			continue
		}
		if !cmd.May(who) {
			return nil
		}
		p, err := cmd.Run(t.Context(), &xmpp.CommandCall{Asker: who, Form: &form.Form{}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatalf("no command %s", node)
	return nil
}

// fill sends a page back: "name=value", several values as "name=a|b".
func fill(t *testing.T, p *xmpp.CommandPage, who jid.JID, filled ...string) (*xmpp.CommandPage, error) {
	t.Helper()
	f := &form.Form{Type: form.Submit}
	for _, x := range p.Form.Fields {
		f.Fields = append(f.Fields, form.Field{Var: x.Var, Values: x.Values})
	}
	for _, x := range filled {
		name, v, _ := strings.Cut(x, "=")
		if f.Field(name) == nil {
			f.Fields = append(f.Fields, form.Field{Var: name})
		}
		f.Field(name).Values = strings.Split(v, "|")
	}
	if err := p.Form.Check(f); err != nil {
		t.Fatal(err)
	}
	return p.Submit(t.Context(), &xmpp.CommandCall{Asker: who, Form: f})
}

// shows wants a page with all of these in it.
func shows(t *testing.T, want ...string) func(*xmpp.CommandPage, error) {
	return func(p *xmpp.CommandPage, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(p.Notes)
		if p.Form != nil {
			text += p.Form.XML()
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in %s", w, text)
			}
		}
	}
}

// again wants the page back with a sentence.
func again(t *testing.T, want string) func(*xmpp.CommandPage, error) {
	return func(_ *xmpp.CommandPage, err error) {
		t.Helper()
		var a *xmpp.CommandAgain
		if !errors.As(err, &a) || !strings.Contains(a.Text, want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestTextSeveralNumbers(t *testing.T) {
	d := &desk{}
	c := d.config()
	page := open(t, c, anna, "send")
	if page.Form.Field("urgent") != nil {
		t.Error("everybody may send alarms")
	}
	again(t, "There is no number.")(fill(t, page, anna, "numbers= , ", "text=x"))
	again(t, "The text is empty.")(fill(t, page, anna, "numbers=1", "text=  "))
	again(t, "These are 300 numbers, and at most 100")(fill(t, page, anna, "numbers="+strings.Repeat("+4915550101,", 300), "text=x"))
	if len(d.texts) != 0 {
		t.Fatalf("sent %+v", d.texts)
	}
	shows(t, "{warn 2 of 4 texts are queued.", "<value>not sent: “bob” is not a phone number.</value>", "<value>not sent: +49199 wants no texts.</value>", "<value>+49102</value>")(
		fill(t, page, anna, "numbers=+49 101, bob; +49101|+49102|+49199", "text=Hello|there", "urgent=1"))
	if len(d.texts) != 2 {
		t.Fatalf("sent %+v", d.texts)
	}
	for _, x := range d.texts {
		if x.Body != "Hello\nthere" || x.Sender != "anna@office.example" || x.Urgent {
			t.Errorf("%+v", x)
		}
	}
	shows(t, "{error Nothing was sent.")(fill(t, page, anna, "numbers=+49199", "text=x"))
	shows(t, "{info The text is queued.}")(fill(t, open(t, c, root, "send"), root, "numbers=+49103", "text=x", "urgent=1"))
	if !d.texts[2].Urgent {
		t.Error("not urgent")
	}
	if open(t, c, jid.MustParse("eve@elsewhere.example"), "send") != nil {
		t.Error("strangers may text")
	}
}

func TestHistory(t *testing.T) {
	d := &desk{}
	c := d.config()
	shows(t, "There are no such texts.")(fill(t, open(t, c, anna, "history"), anna))
	for i := range 60 {
		who := anna
		if i%2 == 1 {
			who = root
		}
		if _, _, err := d.text(t.Context(), who, "+4910"+fmt.Sprint(i%3), fmt.Sprintf("text %d.", i), false); err != nil {
			t.Fatal(err)
		}
	}
	d.texts[58].State, d.texts[58].Text = transports.Failed, "The number does not exist."
	page, err := fill(t, open(t, c, anna, "history"), anna)
	shows(t, "text 58.", "not delivered: The number does not exist.", "waits to be sent")(page, err)
	if len(page.Form.Items) != 30 || len(page.Notes) != 0 || strings.Contains(page.Form.XML(), "text 59.") {
		t.Errorf("anna sees %d texts: %s", len(page.Form.Items), page.Form.XML())
	}
	page, err = fill(t, open(t, c, root, "history"), root)
	shows(t, "text 59.", "text 58.", "anna@office.example", "again with the id 11.")(page, err)
	page, err = fill(t, open(t, c, root, "history"), root, "before=11", "number=+49 101")
	shows(t, "text 7.")(page, err)
	if len(page.Form.Items) != 3 {
		t.Errorf("%d texts: %s", len(page.Form.Items), page.Form.XML())
	}
	again(t, "“x” is not an id.")(fill(t, open(t, c, root, "history"), root, "before=x"))
	again(t, "“x” is not a phone number.")(fill(t, open(t, c, root, "history"), root, "number=x"))

	// Who has sent nothing for long is told where to go on.
	for range maxLook {
		d.texts = append(d.texts, sms.Chain{ID: uint64(len(d.texts) + 1), Sender: "bot@office.example"})
	}
	shows(t, "Among the last 5000 texts there are none of yours.", "with the id 61.")(fill(t, open(t, c, anna, "history"), anna))
	shows(t, "text 58.")(fill(t, open(t, c, anna, "history"), anna, "before=61"))
}

// runs runs what asks the network until the test ends.
func runs(t *testing.T, c *Pages) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) }) // ignored: it ends with ctx
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestModemsByForm(t *testing.T) {
	d := &desk{}
	c := d.config()
	runs(t, c)
	shows(t, "Testnet, signal -71 dBm", "0 texts wait")(open(t, c, anna, "status"), nil)
	shows(t, noModem)(open(t, c, root, "ussd"), nil)
	shows(t, noModem)(open(t, c, root, "credit"), nil)
	d.modems = []Modem{gsm{"gsm0"}}
	shows(t, "-71 dBm", "The modem is ready.")(open(t, c, anna, "status"), nil)
	if strings.Contains(open(t, c, anna, "status").Form.XML(), "+4915550100") {
		t.Error("everybody sees the number of the SIM")
	}
	shows(t, "+4915550100")(open(t, c, root, "status"), nil)
	if open(t, c, anna, "ussd") != nil || open(t, c, anna, "credit") != nil {
		t.Error("everybody may spend credit")
	}
	page := open(t, c, root, "ussd")
	again(t, "does not know this code")(fill(t, page, root, "code=*102#"))
	again(t, "The modem cannot be asked now. The modem is ready.")(fill(t, page, root, "code=*0#"))
	shows(t, "Your balance is 12.34 EUR.")(fill(t, page, root, "code=*100#"))
	menu, err := fill(t, page, root, "code=*101#")
	shows(t, "<instructions>1 Balance</instructions><instructions>2 Data</instructions>")(menu, err)
	shows(t, "Your balance is 12.34 EUR.")(fill(t, menu, root, "code=1"))
	shows(t, "12.34 EUR")(open(t, c, root, "credit"), nil)

	d.modems = append(d.modems, gsm{"gsm1"})
	shows(t, "<value>gsm1</value>")(fill(t, open(t, c, root, "credit"), root, "modem=gsm1"))
	shows(t, "Your balance")(fill(t, open(t, c, root, "ussd"), root, "modem=gsm1", "code=*100#"))
	d.modems = d.modems[:1]
	again(t, "There is no such modem.")(c.askCredit(t.Context(), &xmpp.CommandCall{Form: form.New(form.Submit, "", form.Text("modem", "", "gsm1"))}))
}

// TestSlowNetwork: no step lasts long, nobody waits behind too many others.
func TestSlowNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{modems: []Modem{gsm{"gsm0"}}}
		c := d.config()
		runs(t, c)
		began := time.Now()
		page, err := fill(t, open(t, c, root, "ussd"), root, "code=*9#")
		shows(t, "The network has not answered yet.")(page, err)
		if took := time.Since(began); took != patience {
			t.Errorf("a step of %v", took)
		}
		for range maxTalks {
			if err := c.enqueue(&talk{ask: func(context.Context) (*xmpp.CommandPage, error) { return nil, nil }, done: make(chan struct{})}); err != nil {
				t.Fatal(err)
			}
		}
		again(t, "Others are asking the network")(fill(t, open(t, c, root, "ussd"), root, "code=*100#"))
		for steps := 1; page.Submit != nil; steps++ {
			if page, err = fill(t, page, root); err != nil || steps > 10 {
				t.Fatal(steps, err)
			}
		}
		shows(t, "At last.")(page, nil)
		<-time.After(time.Second)
		shows(t, "12.34 EUR.")(fill(t, open(t, c, root, "ussd"), root, "code=*100#"))
	})
}
