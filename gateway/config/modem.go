package config

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ussdCode is what a code may hold.
var ussdCode = regexp.MustCompile(`^[0-9*#+]{1,40}$`)

// CreditRule gives the compiled credit_pattern, nil for the usual one, and how
// often the credit is asked for by itself, 0 for never.
func (m Modem) CreditRule() (*regexp.Regexp, time.Duration) { return m.pattern, m.creditEvery }

// radio checks the keys of a [[modem]] about network, calls, power and credit.
func (v *validator) radio(at func(string) string, m *Modem) {
	if m.Roaming == "" {
		m.Roaming = "allow"
	}
	if !slices.Contains([]string{"allow", "country", "refuse"}, m.Roaming) {
		v.fault(at("roaming"), `roaming %q is not known: write "allow", "country" (only in the country of the SIM card) or "refuse"`, m.Roaming)
	}
	if m.Calls == "" {
		m.Calls = "ring"
	}
	if m.Calls != "ring" && m.Calls != "hang-up" {
		v.fault(at("calls"), `calls %q is not known: write "ring" (until the caller gives up) or "hang-up"`, m.Calls)
	}
	if len(m.PowerCommand) > 0 && !filepath.IsAbs(m.PowerCommand[0]) {
		v.fault(at("power_command"), `power_command %q is not a full path: write the program and its arguments as a list, e.g. ["/usr/sbin/uhubctl", "-l", "1-1", "-a", "cycle"]`, m.PowerCommand[0])
	}
	v.credit(at, m)
}

func (v *validator) credit(at func(string) string, m *Modem) {
	if m.CreditCode == "" {
		for _, k := range []struct {
			name string
			set  bool
		}{{"credit_pattern", m.CreditPattern != ""}, {"credit_low", m.CreditLow != 0}, {"credit_every", m.CreditEvery != ""}} {
			if k.set {
				v.fault(at(k.name), `%s has no credit_code: add credit_code = "*100#", with the code of the provider`, k.name)
			}
		}
		return
	}
	if !ussdCode.MatchString(m.CreditCode) {
		v.fault(at("credit_code"), `credit_code %q is not a code: write digits, * and #, e.g. "*100#"`, m.CreditCode)
	}
	if m.CreditLow < 0 {
		v.fault(at("credit_low"), "credit_low %g is not an amount: write the credit below which you want to be warned, 0 for never", m.CreditLow)
	}
	if m.CreditPattern != "" {
		p, err := regexp.Compile(m.CreditPattern)
		switch {
		case err != nil:
			v.fault(at("credit_pattern"), "credit_pattern: %s: write a regular expression (RE2) whose first group is the amount", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		case p.NumSubexp() < 1:
			v.fault(at("credit_pattern"), `credit_pattern %q has no group: put the amount in brackets, e.g. "balance: ([0-9.,]+) (EUR)"`, m.CreditPattern)
		}
		m.pattern = p
	}
	if m.CreditEvery != "" {
		m.creditEvery = v.duration(at("credit_every"), m.CreditEvery, time.Hour, 366*24*time.Hour)
	}
}
