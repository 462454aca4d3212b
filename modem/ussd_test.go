package modem

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorway/modem/emulator"
)

// All three forms of codes and answers are found, whatever the family; a menu
// is answered; texts are sent while an answer is awaited.
func TestUSSDForms(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"plain", "ucs2", "packed"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, emulator.Config{}, nil)
			r.ready()
			r.set("ussd", strings.Replace(form, "plain", "", 1))
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			got, err := r.d.USSD(ctx, "*101#")
			if form == "packed" {
				// It takes the plain code for a strange one, and says so: only its family tells.
				t.Logf("%+v, %v", got, err)
			} else if err != nil || got.Text != "1 Balance\n2 Data" || !got.More {
				t.Fatalf("%+v, %v", got, err)
			} else if got, err = r.d.USSD(ctx, "1"); err != nil || got.Text != "Your balance is 12.34 EUR." || got.More {
				t.Fatalf("%+v, %v", got, err)
			}
			r.standing()
		})
	}
}

func TestUSSDPackedByFamily(t *testing.T) {
	t.Parallel()
	rules, err := emulator.ParseTranscript(readTranscript(t, "testdata/quirks/huawei-sticks.txt").text)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, emulator.Config{Rules: rules}, func(c *Config) { c.Credit = &Credit{Code: "*100#", Low: 20} })
	r.ready()
	r.set("ussd", "packed")
	b, err := r.d.Credit(context.Background())
	if err != nil || b.Amount != 12.34 || b.Currency != "EUR" {
		t.Fatalf("%+v, %v", b, err)
	}
	st := r.d.Status()
	if st.Credit == nil || st.Credit.Amount != 12.34 || len(st.Notes) != 1 || !strings.Contains(st.Notes[0], "12.34 EUR") {
		t.Errorf("status %+v, notes %q", st.Credit, st.Notes)
	}
	r.set("balance", "Guthaben: 25,00 EUR")
	if _, err := r.d.Credit(context.Background()); err != nil || len(r.d.Status().Notes) != 0 {
		t.Errorf("%v, notes %q", err, r.d.Status().Notes)
	}
	r.standing()
}

func TestUSSDRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Timeouts.Dialogue = 300 * time.Millisecond })
	r.ready()
	ctx := context.Background()
	var te *TalkError
	if _, err := r.d.USSD(ctx, "*102#"); !errors.As(err, &te) || !strings.Contains(te.Text, "does not know this USSD code") {
		t.Errorf("unknown code: %v", err)
	}
	if _, err := r.d.USSD(ctx, `*100#"`); !errors.As(err, &te) || !te.Usage {
		t.Errorf("quote: %v", err)
	}
	if _, err := r.d.Credit(ctx); !errors.As(err, &te) || !strings.Contains(te.Text, "credit_code") {
		t.Errorf("not configured: %v", err)
	}
	r.emu.AddRules(parse(t, "on command \\+CUSD=1\n instead \"\\r\\nOK\\r\\n\"\n skip\n")...)
	if _, err := r.d.USSD(ctx, "*100#"); !errors.As(err, &te) || !strings.Contains(te.Text, "in time") {
		t.Errorf("no answer: %v", err)
	}
	r.until("hung up", 0, func() bool { return r.traced(">AT+CUSD=2") > 0 })
	r.emu.ClearRules()
	r.emu.AddRules(parse(t, "on command \\+CUSD=\n result ERROR\n")...)
	if _, err := r.d.USSD(ctx, "*100#"); !errors.As(err, &te) || !strings.Contains(te.Text, "refuses") {
		t.Errorf("refused: %v", err)
	}
	r.standing()
}

// The answer comes in several lines, with noise and the answer to a send between.
func TestUSSDOfSeveralLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.emu.AddRules(parse(t, "on command \\+CUSD=1\n skip\n instead \"\\r\\nOK\\r\\n\\r\\n+CUSD: 0,\\\"Credit 5.00 EUR\\r\\nOK\\r\\nvalid until May\\\",15\\r\\n\"\n")...)
	got, err := r.d.USSD(context.Background(), "*100#")
	if err != nil || got.Text != "Credit 5.00 EUR\nOK\nvalid until May" {
		t.Errorf("%q, %v", got.Text, err)
	}
	r.standing()
}

func TestUSSDText(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`+CUSD: 0,"Plain text",15`, "Plain text"},
		{`+CUSD: 0,"Plain text"`, "Plain text"},
		{`+CUSD: 0,Plain text,15`, "Plain text"},
		{`+CUSD: 0,"00420061006C",72`, "Bal"},
		{`+CUSD: 0,"00420061006C0061006E00630065",15`, "Balance"}, // its coding is wrong
		{`+CUSD: 0,"0411043004380421",0`, "БаиС"},
		{`+CUSD: 0,"C2303BEC9E83602E18",15`, "Balans 0.0"},
		{`+CUSD: 0,"42616C616E6365",68`, "Balance"},
		{`+CUSD: 0,"1234",15`, "1234"},
		{`+CUSD: 4`, ""},
		{`+CUSD: 2`, ""},
	} {
		if _, got, ok := parseCUSD(c.line); !ok || got != c.want {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
	if _, _, ok := parseCUSD("+CUSD: x"); ok {
		t.Error("no status")
	}
}

func TestBalances(t *testing.T) {
	two := regexp.MustCompile(`(?i)main: ([\d.]+) (\w+)`)
	for _, c := range []struct {
		p        *regexp.Regexp
		text     string
		amount   float64
		currency string
	}{
		{nil, "Your balance is 12.34 EUR.", 12.34, "EUR"},
		{nil, "Ihr Guthaben: 1.234,56€ bis 31.12.", 1234.56, "€"},
		{nil, "Balance: £5.00, valid 30 days", 5, "£"},
		{nil, "Saldo -0,50 EUR", -0.5, "EUR"},
		{nil, "1,234.50 USD", 1234.5, "USD"},
		{two, "Bonus: 9.99 EUR Main: 3.10 EUR", 3.1, "EUR"},
		{regexp.MustCompile(`(\d+) units`), "you have 40 units", 40, ""},
	} {
		b, err := (&Credit{Pattern: c.p}).parseBalance(c.text)
		if err != nil || b.Amount != c.amount || b.Currency != c.currency {
			t.Errorf("%q: %v %q, %v", c.text, b.Amount, b.Currency, err)
		}
	}
	if _, err := (&Credit{}).parseBalance("No balance for you"); err == nil {
		t.Error("an amount was found")
	}
}

// The credit is asked for by itself, also a second time.
func TestCreditByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) {
		c.Credit = &Credit{Code: "*100#", Every: 50 * time.Millisecond}
		c.Timeouts.Patience = 50 * time.Millisecond
	})
	r.until("asked twice", 0, func() bool { return r.traced(`>AT+CUSD=1,"*100#",15`) >= 2 })
	r.until("credit known", 0, func() bool { return r.d.Status().Credit != nil })
	r.set("balance", "Nothing to say")
	r.until("told", 0, func() bool {
		n := r.d.Status().Notes
		return len(n) == 1 && strings.Contains(n[0], "could not be asked for")
	})
}

// FuzzUSSD: an answer of the network never does harm.
func FuzzUSSD(f *testing.F) {
	for _, s := range []string{`+CUSD: 0,"Your balance is 12.34 EUR.",15`, `+CUSD: 1,"00420061006C",72`, `+CUSD: 0,"C2303BEC9E83",15`, "+CUSD: 2", `+CUSD: 0,"`, `+CUSD: 0,a,b"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, text, ok := parseCUSD(line)
		if !ok {
			return
		}
		if len(text) > 4096 {
			t.Errorf("%d bytes", len(text))
		}
		_, _ = (&Credit{}).parseBalance(text) // ignored: it must only not panic
		private('<', line)
	})
}

// A text of the network that never ends does not eat the answer to a send.
func TestUSSDWithoutEnd(t *testing.T) {
	inBubble(t, emulator.Config{Rules: parse(t, "on pdu\n before \"\\r\\n+CUSD: 0,\\\"half a text\\r\\nand more\\r\\n\"\n")}, func(b *bubble) {
		b.ready()
		for _, text := range []string{"one", "two"} {
			if _, err := b.d.Send(context.Background(), encode(t, text), func() error { return nil }); err != nil {
				t.Error(err)
			}
		}
		b.works()
	})
}
