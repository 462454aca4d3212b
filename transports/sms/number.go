package sms

import (
	"errors"
	"strings"
	"unicode"

	"doorway/modem/pdu"
	"doorway/transports"
)

var errNumber = errors.New("number not usable")

func notFound(text string) *transports.Error {
	return &transports.Error{Kind: transports.NotFound, Text: text, Err: errNumber}
}

// ContactID normalises what a person typed to E.164 with a leading plus. Spaces, dashes, dots,
// slashes and brackets are ignored, "00" and the national trunk prefix are understood, and
// "+49 (0) 155" too. Three to six digits are a short code and stay as they are. The
// error is a *transports.Error of kind NotFound.
func (n *Network) ContactID(typed string) (transports.ContactID, error) {
	num, err := n.normalise(typed)
	if err != nil {
		return "", err
	}
	return transports.ContactID(num), nil
}

func (n *Network) normalise(typed string) (string, error) {
	shown := shorten(strings.TrimSpace(typed))
	s := strings.TrimSpace(typed)
	if len(s) >= 4 && strings.EqualFold(s[:4], "tel:") { // RFC 3966
		s = s[4:]
	}
	if s == "" {
		return "", notFound("No phone number was given. Write one such as " + n.example() + ".")
	}
	if len(s) > 64 {
		return "", notFound("“" + shown + "” is too long for a phone number. Write one such as " + n.example() + ".")
	}
	digits, plus, err := n.digits(s, shown)
	if err != nil {
		return "", err
	}
	switch {
	case plus:
	case strings.HasPrefix(digits, "00"):
		digits, plus = digits[2:], true
	case isShortCode(digits):
		return digits, nil
	case n.cfg.Country == "":
		return "", notFound("“" + shown + "” has no country code. Write the number with a plus and the country code, such as " + n.example() + ".")
	case n.cfg.Trunk != "" && strings.HasPrefix(digits, n.cfg.Trunk):
		digits = n.cfg.Country + digits[len(n.cfg.Trunk):]
	case n.cfg.Trunk == "" || n.cfg.Country == "1" || n.cfg.Country == "7":
		digits = n.cfg.Country + digits
	case strings.HasPrefix(digits, n.cfg.Country) && len(digits) >= len(n.cfg.Country)+8:
		// the plus was left out
	default:
		return "", notFound("“" + shown + "” is neither a national nor an international number. Begin with " +
			n.cfg.Trunk + " or with +" + n.cfg.Country + ", such as " + n.example() + ".")
	}
	switch {
	case strings.HasPrefix(digits, "0"):
		return "", notFound("“" + shown + "” is not a phone number: no country code begins with 0. Write it such as " + n.example() + ".")
	case len(digits) < 7:
		return "", notFound("“" + shown + "” is too short for a phone number. Write one such as " + n.example() + ".")
	case len(digits) > 15: // ITU-T E.164 §6
		return "", notFound("“" + shown + "” is too long for a phone number. Write one such as " + n.example() + ".")
	}
	return "+" + digits, nil
}

// digits strips what people put between digits, and the optional trunk zero of "+49 (0) 155".
func (n *Network) digits(s, shown string) (digits string, plus bool, err error) {
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "00") {
		s = strings.Replace(s, "(0)", "", 1)
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == '+':
			if b.Len() > 0 || plus {
				return "", false, notFound("“" + shown + "” is not a phone number: a plus may only stand at its beginning. Write it such as " + n.example() + ".")
			}
			plus = true
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), strings.ContainsRune("./()[]\u200b\u200e\u202a\u202c\u2212", r):
		default:
			return "", false, notFound("“" + shown + "” is not a phone number. Write one such as " + n.example() + ".")
		}
	}
	if b.Len() == 0 {
		return "", false, notFound("“" + shown + "” is not a phone number. Write one such as " + n.example() + ".")
	}
	return b.String(), plus, nil
}

func isShortCode(d string) bool { return len(d) >= 3 && len(d) <= 6 && d[0] != '0' }

// allowed is the house's policy on where texts may go; it costs money, so what is
// not wanted is refused before anything is stored.
func (n *Network) allowed(num string) error {
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

// usualTrunk is the national prefix of a country (ITU Operational Bulletin No. 994 lists them).
func usualTrunk(country string) string {
	switch country {
	case "":
		return ""
	case "1":
		return "1"
	case "7":
		return "8"
	case "36":
		return "06"
	case "30", "34", "39", "45", "47", "48", "351", "352", "356", "357", "371", "372", "377", "378", "420", "852", "65":
		return "" // closed plans
	}
	return "0"
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

// shorten keeps foreign input in sentences short.
func shorten(s string) string {
	r := []rune(s)
	if len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
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
