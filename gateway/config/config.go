// Package config reads doorway.toml into an immutable snapshot.
//
// Every fault is reported with file and line and with what to write instead;
// an unknown key is a fault. The package reads the file and the secret files
// it names, starts no goroutine and keeps no state.
package config

import (
	"regexp"
	"time"

	"doorway/xmpp/jid"
)

// Config is the whole configuration. It is never changed after Load.
type Config struct {
	File     string      `toml:"-"` // where it was read from
	Warnings []Problem   `toml:"-"` // accepted, but worth a look
	Domain   string      `toml:"domain"`
	Data     string      `toml:"data"`
	Admins   []string    `toml:"admins"`
	XMPP     XMPP        `toml:"xmpp"`
	Comps    []Component `toml:"component"`
	MUC      Service     `toml:"muc"`
	Dir      Service     `toml:"directory"`
	Upload   Service     `toml:"upload"`
	Modems   []Modem     `toml:"modem"`
	SMS      SMS         `toml:"sms"`
	Networks []Network   `toml:"network"`
	HTTP     HTTP        `toml:"http"`
	Archive  Archive     `toml:"archive"`
	Backup   Backup      `toml:"backup"`
	Contact  Contact     `toml:"contact"`
	Spool    Spool       `toml:"spool"`

	adminJIDs []jid.JID
	src       source
}

// XMPP is the section [xmpp].
type XMPP struct {
	Mode            string   `toml:"mode"`
	Server          string   `toml:"server"`
	SecretFile      string   `toml:"secret_file"`
	Listen          []string `toml:"listen"`
	ListenTLS       []string `toml:"listen_tls"`
	ListenComponent []string `toml:"listen_component"`
	RequireTLS      bool     `toml:"require_tls"`
	Certificate     string   `toml:"certificate"`
	Key             string   `toml:"key"`
}

// Component is one section [[component]]: a foreign gateway that may attach.
type Component struct {
	Domain     string `toml:"domain"`
	SecretFile string `toml:"secret_file"`
	Roster     string `toml:"roster"`
	Message    string `toml:"message"`
	Presence   string `toml:"presence"`
	IQ         string `toml:"iq"`
}

// Service is a section that only names a domain.
type Service struct {
	Domain string `toml:"domain"`
}

// Modem is one section [[modem]].
type Modem struct {
	Name    string `toml:"name"`
	Device  string `toml:"device"`
	Baud    int    `toml:"baud"`
	PINFile string `toml:"pin_file"`

	Prefixes  []string `toml:"prefixes"`  // numbers it is preferred for
	Senders   []string `toml:"senders"`   // whose texts it is preferred for
	Groups    []string `toml:"groups"`    // and the members of which groups'
	Operators []string `toml:"operators"` // it sends only with one of these networks; empty: any
	Only      bool     `toml:"only"`      // it sends nothing else
	Backup    bool     `toml:"backup"`    // it sends only while the others cannot
	PerHour   int      `toml:"per_hour"`  // parts; 0: no cap
	PerDay    int      `toml:"per_day"`

	Roaming       string   `toml:"roaming"`        // allow, country or refuse
	Calls         string   `toml:"calls"`          // ring or hang-up
	PowerCommand  []string `toml:"power_command"`  // switches the modem off and on
	CreditCode    string   `toml:"credit_code"`    // USSD code that asks for the balance
	CreditPattern string   `toml:"credit_pattern"` // finds the amount in the answer
	CreditLow     float64  `toml:"credit_low"`     // below it people are warned
	CreditEvery   string   `toml:"credit_every"`   // asked for by itself so often; empty: never

	pin         string
	pattern     *regexp.Regexp
	creditEvery time.Duration
}

// PIN returns the SIM's PIN read from pin_file, "" for none.
func (m Modem) PIN() string { return m.pin }

// Network is one section [[network]].
type Network struct {
	Type   string `toml:"type"`
	Domain string `toml:"domain"`
	Host   string `toml:"host"`
	TLS    bool   `toml:"tls"`
}

// HTTP is the section [http].
type HTTP struct {
	Listen    []string `toml:"listen"`
	ListenTLS []string `toml:"listen_tls"`
	URL       string   `toml:"url"`
}

// Backup is the section [backup].
type Backup struct {
	Dir  string `toml:"dir"`  // where nightly backups go; empty: backups in the data folder
	Keep int    `toml:"keep"` // how many are kept; 0: none are made
	At   string `toml:"at"`   // local time, 15:04

	hour, minute int
}

// Time returns the local time of the nightly round.
func (b Backup) Time() (hour, minute int) { return b.hour, b.minute }

// AdminJIDs returns the administrators' bare JIDs.
func (c *Config) AdminJIDs() []jid.JID { return c.adminJIDs }

// SMSDomain is the full name of the SMS gateway's domain.
func (c *Config) SMSDomain() string { return c.full(c.SMS.Domain) }

// MUCDomain is the full name of the domain of rooms.
func (c *Config) MUCDomain() string { return c.full(c.MUC.Domain) }

// DirectoryDomain is the full name of the directory's domain.
func (c *Config) DirectoryDomain() string { return c.full(c.Dir.Domain) }

// full puts a bare label before the domain.
func (c *Config) full(label string) string {
	for _, r := range label {
		if r == '.' {
			return label
		}
	}
	return label + "." + c.Domain
}

// defaults is the configuration of an empty file, but for the domain and the
// data folder, which have none.
func defaults() Config {
	return Config{
		XMPP: XMPP{
			Mode:       "server",
			Listen:     []string{"0.0.0.0:5222"},
			ListenTLS:  []string{"0.0.0.0:5223"},
			RequireTLS: true,
		},
		MUC:     Service{"conference"},
		Dir:     Service{"directory"},
		Upload:  Service{"upload"},
		SMS:     defaultSMS(),
		HTTP:    HTTP{Listen: []string{"127.0.0.1:8080"}},
		Archive: Archive{Days: 365, Megabytes: 256},
		// A week: damage or a wrong deletion is often noticed only after days.
		Backup: Backup{Keep: 7, At: "03:30"},
		Spool:  Spool{UTF8: true, Days: 30},
	}
}

// stopLimit is how long a stop may take: the PDU in flight has 60 s
// (design §4) and systemd's TimeoutStopSec is 90 s or more.
const stopLimit = 85 * time.Second

// StopLimit returns how long an ordered stop may take in all.
func (c *Config) StopLimit() time.Duration { return stopLimit }
