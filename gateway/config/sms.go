package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"doorway/xmpp/jid"
)

// SMS is the section [sms].
type SMS struct {
	Domain     string   `toml:"domain"`
	Country    string   `toml:"country"`
	MaxParts   int      `toml:"max_parts"`
	Recipients []string `toml:"recipients"`    // who gets a text nobody is in conversation with; empty: the admins
	Foreign    bool     `toml:"international"` // allow numbers outside country
	Premium    bool     `toml:"premium"`       // allow premium-rate numbers

	Validity       string    `toml:"validity"`        // how long a text is tried, e.g. "24h"
	UrgentValidity string    `toml:"urgent_validity"` // and an urgent one
	SendHours      string    `toml:"send_hours"`      // "08:00-20:00"; empty: at any hour
	PersonPerDay   int       `toml:"person_per_day"`  // parts; 0: no cap
	PerDay         int       `toml:"per_day"`         // parts of all together; 0: no cap
	RoomPerDay     int       `toml:"room_per_day"`    // parts that go from one room to its phones; 0: no cap
	Failover       string    `toml:"failover"`        // how long a preferred modem is waited for
	AllowTo        []string  `toml:"allow_to"`        // prefixes of numbers; empty: all
	DenyTo         []string  `toml:"deny_to"`
	AllowFrom      []string  `toml:"allow_from"`
	DenyFrom       []string  `toml:"deny_from"`
	StopAnswer     string    `toml:"stop_answer"` // "": the usual words; "-": none
	StartAnswer    string    `toml:"start_answer"`
	HelpAnswer     string    `toml:"help_answer"`
	NumberPresence bool      `toml:"number_presence"` // the presence of numbers follows delivery reports
	Keywords       []Keyword `toml:"keyword"`

	validity, urgentValidity, failover time.Duration
	from, until                        int
}

// Keyword is one section [[sms.keyword]]: who gets a text that begins with a word.
type Keyword struct {
	Word   string   `toml:"word"`
	To     []string `toml:"to"`
	Answer string   `toml:"answer"`
}

// Times returns how long texts and urgent texts are tried, and how long a preferred modem is waited for.
func (s SMS) Times() (validity, urgent, failover time.Duration) {
	return s.validity, s.urgentValidity, s.failover
}

// Hours returns send_hours in minutes after midnight; equal ones mean the whole day.
func (s SMS) Hours() (from, until int) { return s.from, s.until }

// defaultSMS is the section [sms] of an empty file.
func defaultSMS() SMS {
	return SMS{Domain: "sms", MaxParts: 6, Validity: "24h", UrgentValidity: "1h", Failover: "2m", RoomPerDay: 100}
}

func (v *validator) sms() {
	s := &v.c.SMS
	if strings.Trim(s.Country, "0123456789") != "" || len(s.Country) > 3 || strings.HasPrefix(s.Country, "0") {
		v.fault("sms.country", `country %q is not a country calling code: write the digits after the +, e.g. country = "49"`, s.Country)
	}
	if len(v.c.Modems) > 0 && s.Country == "" {
		v.warn("sms.country", `without country only numbers in the form +49… can be texted; write e.g. country = "49"`)
	}
	if s.MaxParts < 1 || s.MaxParts > 255 {
		v.fault("sms.max_parts", "max_parts %d is out of range: write a number from 1 to 255; 6 is usual", s.MaxParts)
	}
	v.accounts("sms.recipients", s.Recipients)
	s.validity = v.duration("sms.validity", s.Validity, time.Minute, 63*7*24*time.Hour)
	s.urgentValidity = v.duration("sms.urgent_validity", s.UrgentValidity, time.Minute, 63*7*24*time.Hour)
	s.failover = v.duration("sms.failover", s.Failover, 0, 24*time.Hour)
	s.from, s.until = v.hours("sms.send_hours", s.SendHours)
	v.cap("sms.person_per_day", s.PersonPerDay)
	v.cap("sms.per_day", s.PerDay)
	v.cap("sms.room_per_day", s.RoomPerDay)
	for _, l := range []struct {
		key  string
		list []string
	}{{"allow_to", s.AllowTo}, {"deny_to", s.DenyTo}, {"allow_from", s.AllowFrom}, {"deny_from", s.DenyFrom}} {
		for _, p := range l.list {
			if p == "" || strings.HasPrefix(p, "+") && !digits(p[1:]) || strings.HasPrefix(p, "0") {
				v.fault("sms."+l.key, `%q is not the beginning of a number: write it with + and the country code, such as "+4915", or a short code or a sender's name`, p)
			}
		}
	}
	for key, text := range map[string]string{"stop_answer": s.StopAnswer, "start_answer": s.StartAnswer, "help_answer": s.HelpAnswer} {
		if len([]rune(text)) > 160 {
			v.fault("sms."+key, "%s is too long for one text: write at most 160 characters", key)
		}
	}
	v.keywords()
}

func (v *validator) keywords() {
	seen := map[string]bool{}
	for i, k := range v.c.SMS.Keywords {
		at := func(key string) string { return fmt.Sprintf("sms.keyword.%d.%s", i, key) }
		word := strings.ToLower(k.Word)
		switch {
		case word == "" || strings.ContainsAny(word, " \t\n"):
			v.fault(at("word"), `%q is not a word: write one, without spaces, such as word = "fuel"`, k.Word)
		case seen[word]:
			v.fault(at("word"), "the word %q stands in two sections [[sms.keyword]]: put the recipients together", k.Word)
		case slices.Contains([]string{"stop", "start", "help"}, word):
			v.fault(at("word"), "the word %q is the recipients' own: choose another", k.Word)
		}
		seen[word] = true
		if len(k.To) == 0 && k.Answer == "" {
			v.fault(at("to"), `the keyword %q does nothing: write to = ["name@%s"] or an answer`, k.Word, v.c.Domain)
		}
		v.accounts(at("to"), k.To)
		if len([]rune(k.Answer)) > 160 {
			v.fault(at("answer"), "the answer is too long for one text: write at most 160 characters")
		}
	}
}

func (v *validator) accounts(key string, list []string) {
	for _, r := range list {
		if j, err := jid.Parse(r); err != nil || j.Local() == "" {
			v.fault(key, `%q is not an account: write name@%s`, r, v.c.Domain)
		}
	}
}

func (v *validator) cap(key string, n int) {
	if n < 0 {
		v.fault(key, "%d is not a number of texts: write how many may be sent, 0 for no cap", n)
	}
}

// duration reads a time such as "90s", "2m" or "24h".
func (v *validator) duration(key, text string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		v.fault(key, `%q is not a time from %s to %s: write a number with s, m or h, such as "2m" or "24h"`, text, short(least), short(most))
	}
	return d
}

// short writes 2m for 2m0s.
func short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// hours reads "08:00-20:00".
func (v *validator) hours(key, text string) (from, until int) {
	if text == "" {
		return 0, 0
	}
	a, b, _ := strings.Cut(text, "-")
	x, err1 := time.Parse("15:04", strings.TrimSpace(a))
	y, err2 := time.Parse("15:04", strings.TrimSpace(b))
	if err1 != nil || err2 != nil || x.Equal(y) {
		v.fault(key, `%q is not a part of the day: write from-until, such as "08:00-20:00", or "" for any hour`, text)
	}
	return x.Hour()*60 + x.Minute(), y.Hour()*60 + y.Minute()
}

// routes checks what a modem is for.
func (v *validator) routes(i int, m *Modem) {
	at := func(k string) string { return fmt.Sprintf("modem.%d.%s", i, k) }
	for _, p := range m.Prefixes {
		if !strings.HasPrefix(p, "+") || !digits(p[1:]) {
			v.fault(at("prefixes"), `%q is not the beginning of a number: write it with + and the country code, such as "+4915"`, p)
		}
	}
	v.accounts(at("senders"), m.Senders)
	v.cap(at("per_hour"), m.PerHour)
	v.cap(at("per_day"), m.PerDay)
	named := len(m.Prefixes)+len(m.Senders)+len(m.Groups) > 0
	switch {
	case m.Only && !named:
		v.fault(at("only"), "only = true without prefixes, senders or groups would send nothing: name one of them")
	case m.Only && m.Backup:
		v.fault(at("backup"), "only and backup exclude each other: a backup takes what others cannot send")
	case named && len(v.c.Modems) == 1 && !m.Only:
		v.warn(at("name"), "prefixes, senders and groups mean something only beside another modem")
	}
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
