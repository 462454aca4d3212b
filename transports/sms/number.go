package sms

import (
	"errors"
	"strings"

	"doorway/modem/pdu"
	"doorway/transports"
	"doorway/transports/number"
)

var errNumber = errors.New("number not usable")

func notFound(text string) *transports.Error {
	return &transports.Error{Kind: transports.NotFound, Text: text, Err: errNumber}
}

// ContactID normalises what a person typed to E.164 with a leading plus, or to a short code
// (number.Plan.Parse). The error is a *transports.Error of kind NotFound.
func (n *Network) ContactID(typed string) (transports.ContactID, error) {
	num, err := n.normalise(typed)
	if err != nil {
		return "", err
	}
	return transports.ContactID(num), nil
}

func (n *Network) normalise(typed string) (string, error) {
	num, err := n.plan().Parse(typed)
	if err != nil {
		return "", notFound(err.Error())
	}
	return num, nil
}

// plan is how people here write numbers.
func (n *Network) plan() number.Plan {
	return number.Plan{Country: n.cfg.Country, Trunk: n.cfg.Trunk}
}

// allowed is the house's policy on where texts may go; it costs money, so what is
// not wanted is refused before anything is stored.
func (n *Network) allowed(num string) error {
	if !listed(n.cfg.AllowTo, n.cfg.DenyTo, num) {
		return &transports.Error{Kind: transports.Refused, Text: "Texts to " + num + " are not allowed here. The administrator can change allow_to and deny_to in the [sms] settings."}
	}
	if !strings.HasPrefix(num, "+") {
		switch num {
		case "110", "112", "911", "999", "000":
			return &transports.Error{Kind: transports.Refused, Text: num + " is an emergency number. Emergency services are not reached by SMS from here: use a telephone."}
		}
		return nil
	}
	if !n.cfg.Premium {
		for _, p := range n.cfg.PremiumPrefixes {
			if strings.HasPrefix(num, p) {
				return &transports.Error{Kind: transports.Refused, Text: num + " is a premium number, and texts to premium numbers are switched off here. The administrator can allow them in the [sms] settings."}
			}
		}
	}
	if !n.cfg.International && n.cfg.Country != "" && !strings.HasPrefix(num, "+"+n.cfg.Country) {
		return &transports.Error{Kind: transports.Refused, Text: num + " is abroad, and texts to other countries are switched off here. The administrator can allow them in the [sms] settings."}
	}
	return nil
}

// usualPremium lists prefixes whose texts or calls cost extra.
func usualPremium(country string) []string {
	var rest []string
	switch country {
	case "1":
		rest = []string{"900", "976"}
	case "33":
		rest = []string{"89"}
	case "41":
		rest = []string{"90"}
	case "43":
		rest = []string{"90", "93"}
	case "44":
		rest = []string{"87", "9", "118"}
	case "49":
		rest = []string{"900", "190", "137", "180", "118"}
	}
	out := []string{"+979", "+881", "+882", "+883"} // international premium rate and satellite (ITU-T E.164.1)
	for _, r := range rest {
		out = append(out, "+"+country+r)
	}
	return out
}

// pduNumber is the address of a normalised number: international with a plus, otherwise
// unknown, as short codes must be (3GPP TS 23.040 §9.1.2.5).
func pduNumber(num string) pdu.Number {
	if d, ok := strings.CutPrefix(num, "+"); ok {
		return pdu.Number{Digits: d, TON: pdu.International}
	}
	return pdu.Number{Digits: num, TON: pdu.Unknown}
}

// contactOf is the contact that an address stands for; networks write national numbers
// with any type, so those are normalised when that gives a number. Names stay names.
func (n *Network) contactOf(a pdu.Number) transports.ContactID {
	switch {
	case a.TON == pdu.Alphanumeric:
		if a.Digits == "" {
			return "unknown"
		}
		return transports.ContactID(a.Digits)
	case a.TON == pdu.International:
		return transports.ContactID("+" + a.Digits)
	case a.Digits == "":
		return "unknown"
	}
	if num, err := n.normalise(a.Digits); err == nil {
		return transports.ContactID(num)
	}
	return transports.ContactID(a.Digits)
}

// masked hides the middle of a number, for logs above debug.
func masked(num string) string {
	if len(num) <= 6 {
		return num
	}
	return num[:4] + "…" + num[len(num)-2:]
}

// listed reports that a number or name passes a pair of lists.
func listed(allow, deny []string, num string) bool {
	in := func(l []string) bool {
		for _, p := range l {
			if strings.HasPrefix(num, "+") && strings.HasPrefix(p, "+") && strings.HasPrefix(num, p) || strings.EqualFold(num, p) {
				return true
			}
		}
		return false
	}
	return !in(deny) && (len(allow) == 0 || in(allow))
}
