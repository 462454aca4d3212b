package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	pem := writePEMs(t, dir, "a.pem", "b.pem", "key.pem")
	tls := func(cert string) string {
		return "[xmpp]\ncertificate = \"" + cert + "\"\nkey = \"" + pem["key.pem"] + "\"\n"
	}
	for _, c := range []struct {
		name, old, new string
		want           []string // "!" leads those that need a restart
	}{
		{"nothing", "", "admins = []\n", nil},
		{"admins", "", "admins = [\"bob@office.example\"]\n", []string{"admins"}},
		{"recipients and country", "", "[sms]\ncountry = \"49\"\nrecipients = [\"bob@office.example\"]\n", []string{"!sms.country", "sms.recipients"}},
		{"a modem", "", "[[modem]]\ndevice = \"auto\"\n", []string{"![[modem]]"}},
		{"listeners", "", "[xmpp]\nlisten = [\"127.0.0.1:5222\"]\n[http]\nlisten = []\n", []string{"!xmpp.listen", "!http.listen"}},
		{"another certificate", tls(pem["a.pem"]), tls(pem["b.pem"]), []string{"xmpp.certificate"}},
		{"from the own CA", "", tls(pem["b.pem"]), []string{"!xmpp.certificate", "!xmpp.key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			start, next := parse(t, minimal+c.old), parse(t, minimal+c.new)
			runs := start.Reload(next)
			var got []string
			for _, key := range Changes(start, next) {
				if slices.Contains(Changes(runs, next), key) {
					key = "!" + key
				}
				got = append(got, key)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("changes %q, want %q", got, c.want)
			}
			if again := start.Reload(start); len(Changes(start, again)) != 0 || len(Changes(start.Reload(next).Reload(start), start)) != 0 {
				t.Errorf("going back leaves %q", Changes(again, start))
			}
		})
	}
	start := parse(t, minimal)
	moved := parse(t, strings.Replace(minimal, "office.example", "other.example", 1)+"admins = [\"a@other.example\"]\n")
	if got := Changes(start, start.Reload(moved)); len(got) != 0 {
		t.Errorf("%q were taken from a file of another domain", got)
	}
	if got := start.Reload(parse(t, minimal+"admins = [\"bob@office.example\"]\n")).AdminJIDs(); len(got) != 1 || got[0].String() != "bob@office.example" {
		t.Errorf("administrators %v", got)
	}
}

func TestWhere(t *testing.T) {
	c := parse(t, minimal+"[sms]\ncountry = \"49\"\n")
	for key, want := range map[string]string{"sms.country": "doorway.toml:4", "sms.recipients": "doorway.toml:3", "admins": "doorway.toml"} {
		if got := c.Where(key); got != want {
			t.Errorf("%s is at %s, want %s", key, got, want)
		}
	}
}

func parse(t *testing.T, src string) *Config {
	t.Helper()
	c, err := Parse("doorway.toml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writePEMs(t *testing.T, dir string, names ...string) map[string]string {
	t.Helper()
	paths := map[string]string{}
	for _, n := range names {
		paths[n] = dir + "/" + n
		if err := os.WriteFile(paths[n], []byte("PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}
