package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const minimal = "domain = \"office.example\"\ndata = \"/var/lib/doorway\"\n"

func TestDefaults(t *testing.T) {
	c, err := Parse("doorway.toml", []byte(minimal+"admins = [\"alice@office.example\"]\n[sms]\ncountry = \"49\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.SMSDomain(); got != "sms.office.example" {
		t.Errorf("sms domain %q", got)
	}
	if got := c.MUCDomain(); got != "conference.office.example" {
		t.Errorf("domain of rooms %q", got)
	}
	if !c.XMPP.RequireTLS || c.XMPP.Listen[0] != "0.0.0.0:5222" || c.XMPP.ListenTLS[0] != "0.0.0.0:5223" {
		t.Errorf("listeners %+v", c.XMPP)
	}
	if len(c.AdminJIDs()) != 1 || c.AdminJIDs()[0].String() != "alice@office.example" {
		t.Errorf("admins %v", c.AdminJIDs())
	}
	if c.SMS.MaxParts != 6 || len(c.Warnings) != 0 {
		t.Errorf("sms %+v warnings %v", c.SMS, c.Warnings)
	}
}

func TestFaults(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	bad := filepath.Join(dir, "bad")
	for path, mode := range map[string]os.FileMode{open: 0o644, bad: 0o600} {
		if err := os.WriteFile(path, []byte("12a4\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, src string
		want      string // file:line: and a piece of the sentence
	}{
		{"syntax", "domain = \n", "f.toml:1: "},
		{"wrong type", "domain = 3\n", "f.toml:1: "},
		{"no domain", "data = \"x\"\n", "f.toml: domain is missing: write"},
		{"no data", "domain = \"office.example\"\n", "f.toml: data is missing: write"},
		{"bad domain", "domain = \"a@b\"\ndata=\"x\"\n", "f.toml:1: \"a@b\" is not a domain name"},
		{"unknown key", minimal + "[xmpp]\nlisten_tsl = []\n", "f.toml:4: unknown key \"xmpp.listen_tsl\"; did you mean \"listen_tls\"?"},
		{"unknown table", minimal + "[sns]\ncountry = \"49\"\n", "f.toml:3: unknown key \"sns\"; did you mean \"sms\"?"},
		{"unknown top key", "domian = \"x\"\n" + minimal, "f.toml:1: unknown key \"domian\"; did you mean \"domain\"?"},
		{"second modem's key", minimal + "[[modem]]\ndevice=\"auto\"\n[[modem]]\ndevice=\"/dev/ttyUSB0\"\nbuad = 9600\n", "f.toml:7: unknown key \"modem.buad\"; did you mean \"baud\"?"},
		{"spool in the data folder", minimal + "[spool]\ndir = \"/var/lib/doorway/\"\n", "f.toml:4: dir is the data folder itself"},
		{"spool days", minimal + "[spool]\nkeep_days = -1\n", "f.toml:4: keep_days -1 is out of range"},
		{"admin", minimal + "admins = [\"alice\"]\n", "f.toml:3: \"alice\" is not an account"},
		{"address", minimal + "[xmpp]\nlisten = [\"5222\"]\n", "f.toml:4: \"5222\" is not an address: write host:port"},
		{"port", minimal + "[xmpp]\nlisten = [\"0.0.0.0:99999\"]\n", "f.toml:4: \"0.0.0.0:99999\" has no valid port"},
		{"host", minimal + "[xmpp]\nlisten = [\"box:5222\"]\n", "must be an IP address"},
		{"twice", minimal + "[xmpp]\nlisten = [\"0.0.0.0:5222\", \"0.0.0.0:5222\"]\n", "is listed twice"},
		{"same address, two listeners", minimal + "[xmpp]\nlisten = [\"0.0.0.0:5222\"]\nlisten_tls = [\"0.0.0.0:5222\"]\n", "f.toml:5: 0.0.0.0:5222 is already in xmpp.listen"},
		{"rooms on the own domain", minimal + "[muc]\ndomain = \"office.example\"\n", "f.toml:4: \"office.example\" is taken by something else"},
		{"rooms beside phones", minimal + "[muc]\ndomain = \"sms\"\n", "f.toml:4: \"sms.office.example\" is taken by something else"},
		{"number for text", minimal + "[sms]\ncountry = 49\n", "f.toml:4: sms.country has the wrong kind of value: write it in quotes"},
		{"text for yes or no", minimal + "[xmpp]\nrequire_tls = \"yes\"\n", "f.toml:4: xmpp.require_tls has the wrong kind of value: write true or false"},
		{"text for number", minimal + "[sms]\nmax_parts = \"6\"\n", "f.toml:4: sms.max_parts has the wrong kind of value: write a number"},
		{"text for list", minimal + "[http]\nlisten = \"127.0.0.1:8080\"\n", "f.toml:4: http.listen has the wrong kind of value: write a list"},
		{"no listener", minimal + "[xmpp]\nlisten = []\nlisten_tls = []\n", "f.toml:4: no listener"},
		{"plaintext", minimal + "[xmpp]\nrequire_tls = false\n", "f.toml:4: require_tls = false is for test listeners"},
		{"mode", minimal + "[xmpp]\nmode = \"client\"\n", "f.toml:4: mode \"client\" is unknown"},
		{"certificate alone", minimal + "[xmpp]\ncertificate = \"/x.pem\"\n", "certificate and key go together"},
		{"no device", minimal + "[[modem]]\nname = \"a\"\n", "f.toml:3: device is missing"},
		{"relative device", minimal + "[[modem]]\ndevice = \"ttyUSB0\"\n", "f.toml:4: device \"ttyUSB0\" is not a full path"},
		{"same name", minimal + "[[modem]]\nname=\"a\"\ndevice=\"auto\"\n[[modem]]\nname=\"a\"\ndevice=\"/dev/x\"\n", "f.toml:7: two modems are called \"a\""},
		{"roaming", minimal + "[[modem]]\ndevice=\"auto\"\nroaming=\"yes\"\n", "f.toml:5: roaming \"yes\" is not known"},
		{"calls", minimal + "[[modem]]\ndevice=\"auto\"\ncalls=\"answer\"\n", "f.toml:5: calls \"answer\" is not known"},
		{"power command", minimal + "[[modem]]\ndevice=\"auto\"\npower_command=[\"uhubctl\"]\n", "f.toml:5: power_command \"uhubctl\" is not a full path"},
		{"credit without code", minimal + "[[modem]]\ndevice=\"auto\"\ncredit_low=5.0\n", "f.toml:5: credit_low has no credit_code"},
		{"credit code", minimal + "[[modem]]\ndevice=\"auto\"\ncredit_code=\"balance\"\n", "f.toml:5: credit_code \"balance\" is not a code"},
		{"credit pattern", minimal + "[[modem]]\ndevice=\"auto\"\ncredit_code=\"*100#\"\ncredit_pattern=\"(\"\n", "f.toml:6: credit_pattern: missing closing )"},
		{"credit group", minimal + "[[modem]]\ndevice=\"auto\"\ncredit_code=\"*100#\"\ncredit_pattern=\"[0-9]+\"\n", "has no group"},
		{"credit too often", minimal + "[[modem]]\ndevice=\"auto\"\ncredit_code=\"*100#\"\ncredit_every=\"1m\"\n", "f.toml:6: \"1m\" is not a time from 1h"},
		{"baud", minimal + "[[modem]]\ndevice=\"auto\"\nbaud = 5\n", "f.toml:5: baud 5 is no speed"},
		{"odd baud", minimal + "[[modem]]\ndevice=\"auto\"\nbaud = 115201\n", "f.toml:5: baud 115201 is no speed of a serial line: most modems use 115200"},
		{"data in /proc", "domain = \"office.example\"\ndata = \"/proc/doorway\"\n", "f.toml:2: /proc/doorway is in /proc"},
		{"data in /dev", "domain = \"office.example\"\ndata = \"/dev/doorway\"\n", "f.toml:2: /dev/doorway is in /dev"},
		{"all as data", "domain = \"office.example\"\ndata = \"/\"\n", "f.toml:2: data = \"/\" is the whole system"},
		{"file as data", "domain = \"office.example\"\ndata = \"/etc/passwd\"\n", "f.toml:2: /etc/passwd is not a folder"},
		{"pin missing", minimal + "[[modem]]\ndevice=\"auto\"\npin_file=\"/nonexistent/pin\"\n", "f.toml:5: /nonexistent/pin: no such file"},
		{"pin readable", minimal + "[[modem]]\ndevice=\"auto\"\npin_file=\"" + open + "\"\n", "can be read by others"},
		{"pin wrong", minimal + "[[modem]]\ndevice=\"auto\"\npin_file=\"" + bad + "\"\n", "does not hold a PIN"},
		{"country", minimal + "[sms]\ncountry = \"+49\"\n", "f.toml:4: country \"+49\" is not a country calling code"},
		{"parts", minimal + "[sms]\nmax_parts = 0\n", "max_parts 0 is out of range"},
		{"send hours", minimal + "[sms]\nsend_hours = \"8-20\"\n", "f.toml:4: \"8-20\" is not a part of the day: write from-until"},
		{"validity", minimal + "[sms]\nvalidity = \"1 day\"\n", "f.toml:4: \"1 day\" is not a time from 1m to 10584h"},
		{"cap", minimal + "[sms]\nper_day = -1\n", "f.toml:4: -1 is not a number of texts"},
		{"prefix to", minimal + "[sms]\ndeny_to = [\"0900\"]\n", "f.toml:4: \"0900\" is not the beginning of a number"},
		{"long answer", minimal + "[sms]\nstop_answer = \"" + strings.Repeat("x", 161) + "\"\n", "f.toml:4: stop_answer is too long for one text"},
		{"keyword", minimal + "[[sms.keyword]]\nword = \"two words\"\nanswer = \"x\"\n", "f.toml:4: \"two words\" is not a word"},
		{"keyword of others", minimal + "[[sms.keyword]]\nword = \"Stop\"\nanswer = \"x\"\n", "f.toml:4: the word \"Stop\" is the recipients' own"},
		{"keyword twice", minimal + "[[sms.keyword]]\nword = \"a\"\nanswer = \"x\"\n[[sms.keyword]]\nword = \"A\"\nanswer = \"x\"\n", "f.toml:7: the word \"A\" stands in two sections"},
		{"keyword without use", minimal + "[[sms.keyword]]\nword = \"a\"\n", "f.toml:3: the keyword \"a\" does nothing"},
		{"keyword to nobody", minimal + "[[sms.keyword]]\nword = \"a\"\nto = [\"bob\"]\n", "f.toml:5: \"bob\" is not an account"},
		{"keyword key", minimal + "[[sms.keyword]]\nwrod = \"a\"\n", "unknown key \"sms.keyword.wrod\"; did you mean \"word\"?"},
		{"modem prefix", minimal + "[[modem]]\ndevice=\"auto\"\nprefixes = [\"4915\"]\n", "f.toml:5: \"4915\" is not the beginning of a number"},
		{"modem only", minimal + "[[modem]]\ndevice=\"auto\"\nonly = true\n", "f.toml:5: only = true without prefixes"},
		{"modem backup", minimal + "[[modem]]\ndevice=\"auto\"\nonly = true\nbackup = true\ngroups = [\"x\"]\n", "f.toml:6: only and backup exclude each other"},
		{"network", minimal + "[[network]]\ntype = \"irc\"\n", "f.toml:4: network type \"irc\" is not in this version"},
		{"backup time", minimal + "[backup]\nat = \"3.30\"\n", "f.toml:4: at \"3.30\" is not a time: write hours and minutes"},
		{"backup hour", minimal + "[backup]\nat = \"24:00\"\n", "f.toml:4: at \"24:00\" is not a time"},
		{"backup count", minimal + "[backup]\nkeep = -1\n", "f.toml:4: keep -1 is out of range"},
		{"backup folder", minimal + "[backup]\ndir = \"/var/lib/doorway/\"\n", "f.toml:4: dir is the data folder itself"},
		{"backup key", minimal + "[backup]\nkep = 3\n", "f.toml:4: unknown key \"backup.kep\"; did you mean \"keep\"?"},
		{"archive days", minimal + "[archive]\ndays = -1\n", "f.toml:4: days -1 is out of range: write for how many days"},
		{"archive size", minimal + "[archive]\nmegabytes = 1000\n", "f.toml:4: megabytes 1000 is out of range: write how much"},
		{"no archive size", minimal + "[archive]\nmegabytes = 0\n", "f.toml:4: megabytes 0 is out of range"},
		{"archive key", minimal + "[archive]\nday = 3\n", "f.toml:4: unknown key \"archive.day\"; did you mean \"days\"?"},
		{"contact", minimal + "[contact]\nabuse = [\"abuse@office.example\"]\n", "f.toml:4: \"abuse@office.example\" is no address of a kind that clients open"},
		{"contact without a host", minimal + "[contact]\nsupport = [\"https://office.example/help\", \"https:\"]\n", "f.toml:4: \"https:\" is no address"},
		{"url", minimal + "[http]\nurl = \"office\"\n", "f.toml:4: url \"office\" must be a full address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.toml", []byte(c.src))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *Error", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant a line with\n%s", err, c.want)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse("f.toml", []byte("domain = \"a b\"\nfoo = 1\n[xmpp]\nmode = \"x\"\n"))
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) < 4 {
		t.Fatalf("got %v, want four problems", err)
	}
	for i := 1; i < len(e.Problems); i++ {
		if e.Problems[i].Line < e.Problems[i-1].Line {
			t.Errorf("problems out of order: %v", e.Problems)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "copy the sample") {
		t.Errorf("got %v", err)
	}
}

func TestDeviceForms(t *testing.T) {
	for device, ok := range map[string]bool{"auto": true, "/dev/ttyUSB0": true, "usb:1-1.2": true, "usb:1-1.2:2": true, "12d1:1001": true, "12D1:1001:0": true,
		"ttyUSB0": false, "usb:": false, "usb:1": false, "12d1": false, "12d1:10": false, "12d1:1001:x": false} {
		_, err := Parse("f.toml", []byte(minimal+"[[modem]]\ndevice = \""+device+"\"\n[sms]\ncountry=\"49\"\n"))
		if (err == nil) != ok {
			t.Errorf("%s: %v", device, err)
		}
	}
}

func TestPINFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(filepath.Join(dir, "d.toml"), []byte(minimal+"[[modem]]\ndevice = \"auto\"\npin_file = \"pin\"\n[sms]\ncountry=\"49\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Modems[0].PIN() != "1234" || c.Modems[0].Name != "gsm0" || c.Modems[0].Baud != 115200 {
		t.Errorf("modem %+v", c.Modems[0])
	}
}

// TestRooms: the section is served, so that it is no cause for a warning.
func TestRooms(t *testing.T) {
	c, err := Parse("f.toml", []byte(minimal+"admins = [\"alice@office.example\"]\n[muc]\ndomain = \"rooms\"\n[upload]\ndomain = \"upload\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.MUCDomain() != "rooms.office.example" || len(c.Warnings) != 1 || c.Warnings[0].Line != 6 {
		t.Errorf("%s, warnings %v", c.MUCDomain(), c.Warnings)
	}
}

func TestBackup(t *testing.T) {
	c, err := Parse("/etc/doorway/doorway.toml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	h, m := c.Backup.Time()
	if c.Backup.Dir != "/var/lib/doorway/backups" || c.Backup.Keep != 7 || h != 3 || m != 30 {
		t.Errorf("defaults %+v", c.Backup)
	}
	c, err = Parse("/etc/doorway/doorway.toml", []byte(minimal+"[backup]\ndir = \"usb\"\nkeep = 0\nat = \"23:05\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	h, m = c.Backup.Time()
	if c.Backup.Dir != "/etc/doorway/usb" || h != 23 || m != 5 || len(c.Warnings) != 1 || c.Warnings[0].Line != 5 {
		t.Errorf("%+v, warnings %v", c.Backup, c.Warnings)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for src, want := range map[string]string{
		"nonsense = 1\ndata = \"/var/lib/doorway\"\n": "/var/lib/doorway",
		"data = \"var\"\n":                            filepath.Join(dir, "var"),
		"data = \n":                                   "",
		"domain = \"x\"\n":                            "",
	} {
		file := filepath.Join(dir, "doorway.toml")
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Folder(file); got != want {
			t.Errorf("%q: folder %q, want %q", src, got, want)
		}
	}
}

// TestDirectory: the section is served, on a domain of its own.
func TestDirectory(t *testing.T) {
	c, err := Parse("f.toml", []byte(minimal+"admins = [\"alice@office.example\"]\n[directory]\ndomain = \"people.example\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.DirectoryDomain() != "people.example" || len(c.Warnings) != 0 {
		t.Errorf("%s, warnings %v", c.DirectoryDomain(), c.Warnings)
	}
	for _, taken := range []string{"sms", "conference", "office.example"} {
		if _, err := Parse("f.toml", []byte(minimal+"[directory]\ndomain = \""+taken+"\"\n")); err == nil || !strings.Contains(err.Error(), "is taken by something else") {
			t.Errorf("%s: %v", taken, err)
		}
	}
}

func TestSMSKeys(t *testing.T) {
	c, err := Parse("f.toml", []byte(minimal+"[sms]\nsend_hours = \"20:30-06:00\"\nfailover = \"0s\"\nvalidity = \"90m\"\n[[sms.keyword]]\nword = \"Fuel\"\nanswer = \"ok\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	validity, urgent, failover := c.SMS.Times()
	from, until := c.SMS.Hours()
	if validity != 90*time.Minute || urgent != time.Hour || failover != 0 || from != 20*60+30 || until != 6*60 {
		t.Errorf("%s %s %s, %d to %d", validity, urgent, failover, from, until)
	}
	other, err := Parse("f.toml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(Changes(c, other), " ")
	if got != "sms.validity sms.send_hours sms.failover [[sms.keyword]]" {
		t.Errorf("changes %s", got)
	}
}
