package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"doorway/gateway/config"
	"doorway/gateway/health"
	"doorway/gateway/store"
	"doorway/modem"
	"doorway/transports"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, extra string) *config.Config {
	t.Helper()
	c, err := config.Parse("doorway.toml", []byte("domain = \"office.example\"\ndata = \"/var/lib/doorway\"\n"+extra))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expect checks a line's level and pieces of its words, and that whatever is
// wrong comes with a cure.
func expect(t *testing.T, l Line, level Level, words ...string) {
	t.Helper()
	if l.Level != level {
		t.Errorf("%s: level %s, want %s: %s", l.Name, l.Level, level, l.Text)
	}
	for _, w := range words {
		if !strings.Contains(l.Text+" "+l.Cure, w) {
			t.Errorf("%s: no %q in: %s → %s", l.Name, w, l.Text, l.Cure)
		}
	}
	if level != OK && l.Cure == "" || l.Text == "" {
		t.Errorf("%s: no cure: %s", l.Name, l.Text)
	}
}

func expectOne(t *testing.T, lines []Line, level Level, words ...string) {
	t.Helper()
	if len(lines) != 1 {
		t.Fatalf("lines %+v, want one", lines)
	}
	expect(t, lines[0], level, words...)
}

func TestModemReady(t *testing.T) {
	good := modem.Status{Name: "gsm0", Device: "/dev/ttyUSB2", State: modem.Ready, Operator: "Net", Registration: "home",
		RSSI: -77, SMSC: "+49171", StorageUsed: 2, StorageSize: 20}
	for _, c := range []struct {
		name   string
		change func(*modem.Status)
		level  Level
		words  []string
	}{
		{"good", func(*modem.Status) {}, OK, []string{"Net home", "-77 dBm", "+49171", "2 of 20"}},
		{"weak", func(m *modem.Status) { m.RSSI = -109 }, Warn, []string{"-109 dBm", "antenna"}},
		{"a note", func(m *modem.Status) { m.Notes = []string{"The credit of modem gsm0 is low."} }, Warn, []string{"credit", "modem status"}},
		{"helped", func(m *modem.Status) {
			m.Recovery = &modem.Recovery{Step: modem.StepRadio, Why: "sends get no answer", Tries: 2}
		}, Warn, []string{"sends get no answer", "helped 2 times", "modem record"}},
		{"put in step", func(m *modem.Status) { m.Recovery = &modem.Recovery{Step: modem.StepResync, Tries: 1} }, OK, []string{"Net home"}},
		{"unknown signal", func(m *modem.Status) { m.RSSI = 0 }, OK, []string{"signal unknown"}},
		{"no centre", func(m *modem.Status) { m.SMSC = "" }, Warn, []string{"SMS centre"}},
		{"full", func(m *modem.Status) { m.StorageUsed = 19 }, Warn, []string{"19 of 20"}},
		{"PIN", func(m *modem.Status) { m.State, m.Text = modem.SIMLocked, "The SIM wants a PIN. Write it." }, Fail, []string{"wants a PIN"}},
		{"searching", func(m *modem.Status) { m.State, m.Text = modem.Searching, "It looks for a network." }, Warn, []string{"looks for"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good
			c.change(&m)
			expectOne(t, modems(t.Context(), &Box{Facts: &Facts{Modems: []modem.Status{m}}}), c.level, c.words...)
		})
	}
	expectOne(t, modems(t.Context(), &Box{Facts: &Facts{}}), OK, "no SMS")
}

// TestModemDevice looks at devices without a server: gone, free, and in the
// hands of another program.
func TestModemDevice(t *testing.T) {
	expect(t, plugged("modem gsm0", filepath.Join(t.TempDir(), "ttyUSB0"), true), Fail, "is not there", "Plug it in")
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	path := tty.Name()
	expect(t, plugged("modem gsm0", path, true), OK, "is there and free")
	other := exec.Command("sleep", "60")
	other.ExtraFiles = []*os.File{tty}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill() // ignored: it sleeps only
		_ = other.Wait()         // ignored: it was killed
	}()
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, plugged("modem gsm0", path, true), Fail, "in use by", "Stop that program")
}

func TestModemManager(t *testing.T) {
	proc := t.TempDir()
	b := &Box{Config: parse(t, "[[modem]]\ndevice = \"auto\"\n[sms]\ncountry = \"49\"\n"), Processes: proc}
	if lines := modemManager(t.Context(), b); len(lines) != 0 {
		t.Errorf("lines %v", lines)
	}
	if err := os.MkdirAll(filepath.Join(proc, "712"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "712", "comm"), []byte("ModemManager\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expectOne(t, modemManager(t.Context(), b), Warn, "ModemManager", "doorway.rules")
	b.Rules = []string{t.TempDir()}
	if err := os.WriteFile(filepath.Join(b.Rules[0], "60-doorway.rules"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expectOne(t, modemManager(t.Context(), b), OK, "keeps it away")
	b.Config = parse(t, "")
	if lines := modemManager(t.Context(), b); len(lines) != 0 {
		t.Errorf("without a modem: %v", lines)
	}
}

func TestQueueAge(t *testing.T) {
	for _, c := range []struct {
		age   time.Duration
		level Level
		words string
	}{{0, OK, "3 texts wait"}, {14 * time.Minute, OK, "14 minutes"}, {16 * time.Minute, Warn, "16 minutes"}, {3 * time.Hour, Fail, "3 hours"}} {
		b := &Box{Now: func() time.Time { return noon }, Facts: &Facts{Queue: map[transports.State]int{transports.Queued: 2, transports.RetryWait: 1, transports.Failed: 7}}}
		if c.age > 0 {
			b.Facts.Oldest = noon.Add(-c.age)
		}
		expectOne(t, queue(t.Context(), b), c.level, c.words, "7 failed")
	}
}

func TestFindings(t *testing.T) {
	b := &Box{Now: func() time.Time { return noon }, Facts: &Facts{Findings: []health.Finding{
		{Name: "store", Severity: health.Failure, Text: "Nothing can be written. Free space.", Since: noon.Add(-time.Hour)},
		{Name: "backup", Severity: health.Warning, Text: "The last backup is old. Make one.", Since: noon},
	}}}
	lines := findings(t.Context(), b)
	if len(lines) != 2 || lines[0].Level != Fail || lines[1].Level != Warn || lines[0].Name != "health: store" || !strings.Contains(lines[0].Text, "60 minutes") {
		t.Errorf("lines %+v", lines)
	}
}

func TestCertificateLine(t *testing.T) {
	leaf := func(from, until time.Time, name string) *x509.Certificate {
		return &x509.Certificate{NotBefore: from, NotAfter: until, DNSNames: []string{name}}
	}
	before, day := noon.AddDate(0, -1, 0), 24*time.Hour
	own := &Box{Config: parse(t, ""), Now: func() time.Time { return noon }}
	for _, c := range []struct {
		name  string
		leaf  *x509.Certificate
		level Level
		words string
	}{
		{"good", leaf(before, noon.Add(200*day), "office.example"), OK, "good until 2027-06-10"},
		{"ended", leaf(before, noon.Add(-day), "office.example"), Fail, "ended on 2026-11-21"},
		{"to come", leaf(noon.Add(day), noon.Add(90*day), "office.example"), Fail, "still to come"},
		{"ends soon", leaf(before, noon.Add(5*day), "office.example"), Warn, "in 5 days"},
		{"wrong name", leaf(before, noon.Add(90*day), "www.example"), Fail, "not for office.example"},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, leafLine(c.leaf, own), c.level, c.words) })
	}
}

// directory is a name server with a few names.
type directory struct {
	hosts map[string]string
	srv   string
}

func (d directory) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := d.hosts[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (d directory) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if d.srv == "" || service != "xmpp-client" || proto != "tcp" || name != "office.example" {
		return "", nil, errors.New("no such record")
	}
	return "", []*net.SRV{{Target: d.srv, Port: 5222}}, nil
}

func TestName(t *testing.T) {
	for _, c := range []struct {
		name  string
		dns   directory
		level Level
		words []string
	}{
		{"own address", directory{hosts: map[string]string{"office.example": "192.168.7.4"}}, OK, []string{"192.168.7.4"}},
		{"SRV", directory{map[string]string{"box.example": "192.168.7.4", "office.example": "203.0.113.9"}, "box.example."}, OK, []string{"leads to this box"}},
		{"elsewhere", directory{hosts: map[string]string{"office.example": "203.0.113.9"}}, Warn, []string{"203.0.113.9", "not this box", "router"}},
		{"nowhere", directory{}, Warn, []string{"leads nowhere", "address record"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Box{Config: parse(t, ""), Resolver: c.dns, Addresses: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.168.7.4")} }}
			expectOne(t, name(t.Context(), b), c.level, c.words...)
		})
	}
}

// TestPorts knocks at listeners that are shut, deaf and of another trade.
func TestPorts(t *testing.T) {
	listen := func(say string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() { // ends with the listener
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if say != "" {
					_, _ = c.Write([]byte(say)) // ignored: the client decides
					_ = c.Close()               // ignored: as above
				}
			}
		}()
		return l.Addr().String()
	}
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	mail := listen("220 mail.example ESMTP\r\n")
	for _, c := range []struct {
		name  string
		door  Door
		level Level
		words string
	}{
		{"not opened", Door{STARTTLS, "0.0.0.0:5222", ""}, Fail, "could not open 0.0.0.0:5222"},
		{"shut", Door{STARTTLS, "x", shut.Addr().String()}, Fail, "refused"},
		{"deaf", Door{STARTTLS, "x", listen("")}, Fail, "no answer within"},
		{"another program", Door{STARTTLS, "x", mail}, Fail, "no proper answer"},
		{"another program on TLS", Door{DirectTLS, "x", mail}, Fail, "TLS handshake"},
		{"HTTP", Door{HTTP, "x", listen("HTTP/1.0 503 Service Unavailable\r\n\r\n")}, OK, "answers (HTTP)"},
		{"XMPP", Door{STARTTLS, "x", listen("<stream:stream><stream:features/>")}, OK, "answers (XMPP)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Box{Facts: &Facts{Doors: []Door{c.door}}}
			b.fill()
			limit := 30 * time.Second
			if c.name == "deaf" {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			expectOne(t, ports(ctx, b), c.level, c.words)
		})
	}
	busy := parse(t, "[xmpp]\nlisten = [\""+mail+"\"]\nlisten_tls = [\"127.0.0.1:0\"]\n[http]\nlisten = [\"192.0.2.1:80\"]\n")
	lines := ports(t.Context(), &Box{Config: busy})
	if len(lines) != 3 {
		t.Fatalf("lines %+v", lines)
	}
	expect(t, lines[0], Fail, "Another program listens on "+mail, "ss -ltnp")
	expect(t, lines[1], OK, "is free")
	expect(t, lines[2], Fail, "not an address of this box")
}

func TestDisk(t *testing.T) {
	expect(t, diskLine("/d", 5<<30, false, false), OK, "5120 MB")
	expect(t, diskLine("/d", 100<<20, false, false), Warn, "100 MB")
	expect(t, diskLine("/d", 3<<20, false, false), Fail, "3 MB")
	expect(t, diskLine("/d", 5<<30, true, false), Fail, "no more files")
	expect(t, diskLine("/d", 5<<30, false, true), Fail, "only be read")
}

func TestDataFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := &Box{Dir: dir}
	expectOne(t, folder(t.Context(), b), OK, "not there yet")
	expectOne(t, server(t.Context(), b), Warn, "has never run")
	expectOne(t, disk(t.Context(), b), OK, "MB are free")
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	expectOne(t, folder(t.Context(), b), OK, "closed to others")
	expectOne(t, databases(t.Context(), b), OK, "whole")
	expectOne(t, server(t.Context(), b), Fail, "does not run")

	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	expectOne(t, folder(t.Context(), b), Fail, "mode 0755", "chmod 700")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "archive.db"), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		expectOne(t, folder(t.Context(), b), Fail, "archive.db does not belong", "chown")
	}
	if err := os.Truncate(filepath.Join(dir, "state.db"), 5000); err != nil {
		t.Fatal(err)
	}
	expectOne(t, databases(t.Context(), b), Fail, "state.db cannot be used", "backup")
}

func TestClock(t *testing.T) {
	at := func(now time.Time) *Box { return &Box{Now: func() time.Time { return now }, Built: noon} }
	expectOne(t, clock(t.Context(), at(time.Unix(0, 0))), Fail, "1970-01-01", "time server")
	expectOne(t, clock(t.Context(), at(noon.AddDate(30, 0, 0))), Fail, "twenty years")
	if l := clock(t.Context(), at(noon.AddDate(0, 1, 0))); l[0].Level == Fail {
		t.Errorf("line %+v", l[0])
	}
}

func TestServer(t *testing.T) {
	b := &Box{Version: "2", Now: func() time.Time { return noon }, Facts: &Facts{Version: "2", PID: 7, Started: noon.Add(-72 * time.Hour), Watchdog: 30 * time.Second}}
	expectOne(t, server(t.Context(), b), OK, "process 7", "3 days")
	expectOne(t, watchdog(t.Context(), b), OK, "30s")
	b.Facts.Version, b.Facts.Panics, b.Facts.Watchdog = "1", 2, 0
	lines := server(t.Context(), b)
	if len(lines) != 2 {
		t.Fatalf("lines %+v", lines)
	}
	expect(t, lines[0], Warn, "doorway 1 runs", "restart")
	expect(t, lines[1], Warn, "2 connections or tasks")
	expectOne(t, watchdog(t.Context(), b), Warn, "WatchdogSec")
	expectOne(t, server(t.Context(), &Box{FactsErr: errors.New("you may not talk to it.")}), Fail, "you may not", "sudo")
}

func TestConfiguration(t *testing.T) {
	_, err := config.Parse("doorway.toml", []byte("domain = \"office.example\"\ndata = \"x\"\nlisten = 1\n"))
	expectOne(t, configuration(t.Context(), &Box{ConfigErr: err}), Fail, "doorway.toml:3: unknown key")
	b := &Box{Config: parse(t, ""), Facts: &Facts{}}
	expectOne(t, configuration(t.Context(), b), OK, "doorway.toml is right")
	b.Facts = &Facts{Pending: []string{"admins"}, Restart: []string{"[[modem]]"}, Fault: "read configuration: permission denied", Config: "/etc/d.toml"}
	lines := configuration(t.Context(), b)
	if len(lines) != 3 {
		t.Fatalf("lines %+v", lines)
	}
	expect(t, lines[0], Fail, "permission denied", "chmod 640 /etc/d.toml")
	expect(t, lines[1], Warn, "admins", "doorway reload")
	expect(t, lines[2], Warn, "[[modem]]", "restart")
	expectOne(t, configuration(t.Context(), &Box{}), Warn, "--config")
}

// The time of the mobile network unmasks a clock that nobody else corrects.
func TestClockByNetwork(t *testing.T) {
	now := time.Now()
	m := modem.Status{Name: "gsm0", Clock: &modem.Clock{Network: now.Add(-7 * time.Minute), Read: now, Offset: -7 * time.Minute, Trusted: true}}
	b := &Box{Now: func() time.Time { return now }, Facts: &Facts{Modems: []modem.Status{m}}}
	expectOne(t, clock(t.Context(), b), Fail, "mobile network of modem gsm0", "set-ntp")
	m.Clock.Offset = time.Minute
	if l := clock(t.Context(), b); len(l) != 1 || strings.Contains(l[0].Text, "mobile network") {
		t.Errorf("%+v", l)
	}
}
