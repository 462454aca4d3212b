// Package number reads phone numbers as people type them and makes them E.164
// (ITU-T E.164), by the dialling plan of the house's country. Everybody who
// takes a number takes it by these rules: the SMS network and gateway/people.
//
// Left out: whether a number exists, and where texts may go (transports/sms).
// Pure code; safe for concurrent use.
package number

import (
	"strings"
	"unicode"
)

// Plan is a national dialling plan. The zero value knows no country: it takes
// international numbers and short codes only.
type Plan struct {
	Country string // calling code, digits only, e.g. "49"; "" for none
	Trunk   string // what stands before national numbers and is not dialled from abroad; "" for nothing
}

// Error is a refusal, with a sentence that says what to write instead.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// National is the plan of a country with its usual trunk prefix.
func National(country string) Plan { return Plan{Country: country, Trunk: UsualTrunk(country)} }

// Parse normalises what a person typed to E.164 with a leading plus. Spaces, dashes, dots,
// slashes and brackets are ignored, "00" and the national trunk prefix are understood, and
// "+49 (0) 155" and tel: too. Three to six digits are a short code and stay as they are. The
// error is an *Error.
func (p Plan) Parse(typed string) (string, error) {
	shown := shorten(strings.TrimSpace(typed))
	s := strings.TrimSpace(typed)
	if len(s) >= 4 && strings.EqualFold(s[:4], "tel:") { // RFC 3966
		s = s[4:]
	}
	if s == "" {
		return "", p.refuse("No phone number was given. Write one such as ")
	}
	if len(s) > 64 {
		return "", p.refuse("“" + shown + "” is too long for a phone number. Write one such as ")
	}
	digits, plus, err := p.digits(s, shown)
	if err != nil {
		return "", err
	}
	switch {
	case plus:
	case strings.HasPrefix(digits, "00"):
		digits, plus = digits[2:], true
	case isShortCode(digits):
		return digits, nil
	case p.Country == "":
		return "", p.refuse("“" + shown + "” has no country code. Write the number with a plus and the country code, such as ")
	case p.Trunk != "" && strings.HasPrefix(digits, p.Trunk):
		digits = p.Country + digits[len(p.Trunk):]
	case p.Trunk == "" || p.Country == "1" || p.Country == "7":
		digits = p.Country + digits
	case strings.HasPrefix(digits, p.Country) && len(digits) >= len(p.Country)+8:
		// the plus was left out
	default:
		return "", p.refuse("“" + shown + "” is neither a national nor an international number. Begin with " +
			p.Trunk + " or with +" + p.Country + ", such as ")
	}
	switch {
	case strings.HasPrefix(digits, "0"):
		return "", p.refuse("“" + shown + "” is not a phone number: no country code begins with 0. Write it such as ")
	case len(digits) < 7:
		return "", p.refuse("“" + shown + "” is too short for a phone number. Write one such as ")
	case len(digits) > 15: // ITU-T E.164 §6
		return "", p.refuse("“" + shown + "” is too long for a phone number. Write one such as ")
	}
	return "+" + digits, nil
}

// digits strips what people put between digits, and the optional trunk zero of "+49 (0) 155".
func (p Plan) digits(s, shown string) (digits string, plus bool, err error) {
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
				return "", false, p.refuse("“" + shown + "” is not a phone number: a plus may only stand at its beginning. Write it such as ")
			}
			plus = true
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), strings.ContainsRune("./()[]\u200b\u200e\u202a\u202c\u2212", r):
		default:
			return "", false, p.refuse("“" + shown + "” is not a phone number. Write one such as ")
		}
	}
	if b.Len() == 0 {
		return "", false, p.refuse("“" + shown + "” is not a phone number. Write one such as ")
	}
	return b.String(), plus, nil
}

// refuse ends a sentence with an example.
func (p Plan) refuse(text string) error { return &Error{text + p.Example() + "."} }

// Example is a number as somebody in the country would write it.
func (p Plan) Example() string {
	switch {
	case p.Country == "":
		return "+44 7700 900123"
	case p.Trunk != "":
		return p.Trunk + "155 501-01 or +" + p.Country + "15550101"
	}
	return "+" + p.Country + " 555 01 01"
}

func isShortCode(d string) bool { return len(d) >= 3 && len(d) <= 6 && d[0] != '0' }

// UsualTrunk is the national prefix of a country (ITU Operational Bulletin No. 994 lists them).
func UsualTrunk(country string) string {
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

// shorten keeps foreign input in sentences short.
func shorten(s string) string {
	r := []rune(s)
	if len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
