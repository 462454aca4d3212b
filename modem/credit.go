package modem

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Credit says how the balance of a prepaid SIM is asked for.
type Credit struct {
	Code string // USSD code, e.g. *100#
	// Pattern finds the amount in the answer: its first group is the amount, the
	// second, if there is one, the currency. nil takes the first amount with two decimals.
	Pattern *regexp.Regexp
	// Low is the amount below which people are warned; 0: never.
	Low float64
	// Every is how often it is asked for by itself; 0: when somebody asks only.
	Every time.Duration
}

// Balance is what the SIM has left.
type Balance struct {
	Amount   float64   `json:"amount"`
	Currency string    `json:"currency,omitempty"`
	Text     string    `json:"text"` // the network's own words
	At       time.Time `json:"at"`
}

// usualAmount is an amount with two decimals and the currency beside it.
var usualAmount = regexp.MustCompile(`(-?\d[\d.,' ]*[.,]\d{2})(?:\D|$)`)

// usualCurrency is looked for around the amount.
var usualCurrency = regexp.MustCompile(`€|£|\$|zł|Kč|\b[A-Z]{3}\b|\b(?:Euro|euro|Rs|kr|Ft)\b`)

// parseBalance finds the amount in the network's answer.
func (c *Credit) parseBalance(text string) (Balance, error) {
	b := Balance{Text: text, At: time.Now()}
	p := c.Pattern
	if p == nil {
		p = usualAmount
	}
	m := p.FindStringSubmatch(text)
	if len(m) < 2 {
		return b, errNoAmount
	}
	var err error
	if b.Amount, err = amount(m[1]); err != nil {
		return b, errNoAmount
	}
	if len(m) > 2 {
		b.Currency = strings.TrimSpace(m[2])
	} else {
		b.Currency = currencyNear(text, m[1])
	}
	return b, nil
}

// currencyNear is the currency written within a few characters of the amount.
func currencyNear(text, amount string) string {
	i := strings.Index(text, amount)
	behind := text[i+len(amount):]
	if m := usualCurrency.FindStringIndex(behind); m != nil && m[0] <= 3 {
		return behind[m[0]:m[1]]
	}
	all := usualCurrency.FindAllStringIndex(text[:i], -1)
	if n := len(all); n > 0 && i-all[n-1][1] <= 3 {
		return text[all[n-1][0]:all[n-1][1]]
	}
	return ""
}

// amount reads 1.234,56 and 1,234.56, 12,5 and 12: the last point or comma
// with one or two digits behind it begins the decimals.
func amount(s string) (float64, error) {
	s = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' || r == ',' || r == '-' {
			return r
		}
		return -1
	}, s)
	decimals := ""
	if i := strings.LastIndexAny(s, ".,"); i >= 0 && len(s)-i-1 <= 2 {
		s, decimals = s[:i], s[i+1:]
	}
	s = strings.NewReplacer(".", "", ",", "").Replace(s)
	return strconv.ParseFloat(s+"."+decimals+"0", 64)
}

// Credit asks for the balance. Errors are *TalkError, ErrDown and ctx's.
func (d *Driver) Credit(ctx context.Context) (Balance, error) {
	c := d.cfg.Credit
	if c == nil {
		return Balance{}, &TalkError{Text: fmt.Sprintf("How to ask for the credit of modem %s is not configured: add credit_code = \"*100#\", with the code of your provider, to its [[modem]].", d.cfg.Name)}
	}
	r, err := d.USSD(ctx, c.Code)
	if err != nil {
		return Balance{}, err
	}
	return d.balanceOf(r)
}

// balanceOf reads and keeps the answer to the code.
func (d *Driver) balanceOf(r Reply) (Balance, error) {
	c := d.cfg.Credit
	b, err := c.parseBalance(r.Text)
	if err != nil {
		return b, &TalkError{Text: fmt.Sprintf("The answer of the network holds no amount that credit_pattern finds: %q. Correct credit_pattern of modem %s.", r.Text, d.cfg.Name)}
	}
	d.update(func(s *Status) { s.Credit = &b })
	text := ""
	if c.Low > 0 && b.Amount < c.Low {
		text = fmt.Sprintf("The credit of modem %s is low: %.2f %s. Top it up; without credit nothing is sent.", d.cfg.Name, b.Amount, b.Currency)
	}
	d.note(noteCredit, text)
	return b, nil
}

// creditDue tells whether the credit is to be asked for by itself. The first time is some while
// after the start, so that a box that restarts again and again does not spend it on asking.
func (d *Driver) creditDue(now time.Time) bool {
	c := d.cfg.Credit
	if c == nil || c.Every <= 0 || d.talk != nil {
		return false
	}
	if d.balance.IsZero() {
		d.balance = now.Add(d.cfg.Timeouts.Patience)
	}
	return !now.Before(d.balance)
}

// askCredit begins to ask for the credit by itself.
func (s *session) askCredit(ctx context.Context) error {
	d := s.d
	d.balance = time.Now().Add(d.cfg.Credit.Every)
	return s.talk(ctx, d.cfg.Credit.Code, func(r Reply, err error) {
		if err == nil {
			_, err = d.balanceOf(r)
		}
		if err != nil {
			d.log.Warn("modem: the credit is not known", "err", err)
			d.note(noteCredit, fmt.Sprintf("The credit of modem %s could not be asked for. `doorway modem credit %s` says why.", d.cfg.Name, d.cfg.Name))
		}
	})
}
