package emulator

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests let drivers that others wrote work the emulator, so that what
// passes against it means something: gammu, gammu-smsd and smstools as Debian
// ships them. Each sends and reads texts of one and two parts.

const (
	onePart  = "Pump 7 is down [hall B] 100%"
	twoParts = "Pump 7 in hall B has reported low pressure since the early morning. Please check the valve and " +
		"the filter, then answer with OK or with the number of minutes {1-60} that you need until then."
	emoji = "Störung an Pumpe 7 behoben 👍, Techniker ist noch vor Ort und prüft das Ventil. Danke für die schnelle Hilfe! 😀"

	// smstools 3.1.21 loses what lies beyond the Basic Multilingual Plane.
	unicode = "Störung an Pumpe 7 behoben ☎ Techniker ist noch vor Ort und prüft das Ventil. Vielen Dank für die Hilfe! ✓"
)

// reportsDirect is how most modems answer the question for notifications:
// status reports go to the client itself, there is no memory for them. gammu
// prefers a memory where one is offered, and then never reads it.
const reportsDirect = `
on command \+CNMI=\?
 instead "\r\n+CNMI: (0-2),(0,1),(0,2),(0,1),(0)\r\n\r\nOK\r\n"
`

// needPeer skips, or fails where CI installs everything, when a Debian
// package's program is missing; else it logs the version it found.
func needPeer(t *testing.T, file, pkg string, version ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("real peers run in `make test`, not with -short")
	}
	if _, err := os.Stat(file); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: install the Debian package %s", file, pkg)
		}
		t.Skipf("%s is missing: install the Debian package %s", file, pkg)
	}
	out, _ := exec.Command(file, version...).CombinedOutput() // ignored: no version is told below
	number := regexp.MustCompile(`\d+\.\d+(\.\d+)*`).Find(out)
	if number == nil {
		t.Fatalf("%s tells no version: %s", file, out)
	}
	t.Logf("peer: %s %s", pkg, number)
}

// within polls until ok; what says what is there instead.
func within(t *testing.T, limit time.Duration, ok func() (bool, string)) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		good, what := ok()
		if good {
			return
		}
		select {
		case <-end.C:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}

// logged is a journal that a test reads while the emulator writes it.
type logged struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// daemon runs a peer until the test ends, then asks it to go by its pid.
func daemon(t *testing.T, sig syscall.Signal, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out := &logged{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: sig}
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }() // ignored: it was told to end
	t.Cleanup(func() {
		_ = cmd.Process.Signal(sig) // ignored: it may be gone
		select {
		case <-done:
		case <-time.After(60 * time.Second):
			t.Errorf("%s does not end", name)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ignored: nothing of its group is left, as a rule
		<-done
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out)
		}
	})
}

// peerModem starts an emulator with a link that stays, and shows the end of
// the conversation when the test failed.
func peerModem(t *testing.T, script string) *Emulator {
	t.Helper()
	rules, err := ParseScript(script)
	if err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	e := start(t, Config{Link: filepath.Join(t.TempDir(), "modem"), Log: log, Rules: rules, FirstMR: 250})
	t.Cleanup(func() {
		if s := log.String(); t.Failed() {
			t.Logf("the modem's log ends with\n%s", s[max(0, len(s)-6000):])
		}
	})
	return e
}

// file writes a file of the test's folder and returns its path.
func file(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sent waits until a phone has got exactly this text.
func sent(t *testing.T, e *Emulator, phone, text string) {
	t.Helper()
	within(t, 30*time.Second, func() (bool, string) {
		got := e.Phone(phone).Received()
		return slices.Contains(got, text), fmt.Sprintf("%s has got %q", phone, got)
	})
}

// references checks that all parts have gone out once, with counted references.
func references(t *testing.T, e *Emulator, parts int, reports bool) {
	t.Helper()
	all := e.Submits()
	if len(all) != parts {
		t.Errorf("%d parts were sent, want %d", len(all), parts)
	}
	for i, s := range all {
		if s.Count != 1 || s.MRs[0] != byte(250+i) || s.StatusReport != reports {
			t.Errorf("part %d: %d copies, references %d, report %t", i, s.Count, s.MRs, s.StatusReport)
		}
	}
}

// deliver texts the modem in all the ways that a peer must read.
func deliver(t *testing.T, e *Emulator, long string) (texts map[string]string) {
	t.Helper()
	texts = map[string]string{"+4915550111": onePart, "+4915550112": twoParts, "+4915550113": long, "Weather": "Storm from 18:00"}
	for _, from := range []string{"+4915550111", "+4915550112", "+4915550113", "Weather"} {
		if err := e.Deliver(from, texts[from]); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func emptied(t *testing.T, e *Emulator) {
	t.Helper()
	within(t, 10*time.Second, func() (bool, string) {
		left := e.Slots()
		return len(left) == 0, fmt.Sprintf("%d messages lie in the modem", len(left))
	})
	if v := e.Violations(); len(v) > 0 {
		t.Errorf("violations %q", v)
	}
}

func gammuConfig(t *testing.T, e *Emulator, dir, smsd string) string {
	return file(t, filepath.Join(dir, "gammurc"), fmt.Sprintf("[gammu]\ndevice = %s\nconnection = at\n%s", e.Path(), smsd))
}

func TestGammu(t *testing.T) {
	needPeer(t, "/usr/bin/gammu", "gammu", "--version")
	t.Parallel()
	e := peerModem(t, reportsDirect)
	conf := gammuConfig(t, e, t.TempDir(), "")
	gammu := func(stdin string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "/usr/bin/gammu", append([]string{"-c", conf}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(stdin string, args ...string) string {
		t.Helper()
		out, err := gammu(stdin, args...)
		if err != nil {
			t.Fatalf("gammu %q: %v\n%s", args, err, out)
		}
		return out
	}
	if out := must("", "identify"); !strings.Contains(out, "490154203237518") || !strings.Contains(out, "262019000000001") {
		t.Errorf("identify: %s", out)
	}
	if err := e.Phone("+4915550101").SetMode(Off); err != nil {
		t.Fatal(err)
	}
	must(onePart, "sendsms", "TEXT", "+4915550101", "-report")
	must(twoParts, "sendsms", "TEXT", "+4915550102", "-report", "-autolen", "400")
	sent(t, e, "+4915550102", twoParts)
	references(t, e, 3, true)

	e.Network().Fail(Fault{Cause: 38})
	if out, err := gammu(onePart, "sendsms", "TEXT", "+4915550103"); err == nil || !strings.Contains(out, "38") {
		t.Errorf("the network is out of order, gammu says %v: %s", err, out)
	}

	texts := deliver(t, e, emoji)
	within(t, 10*time.Second, func() (bool, string) { return len(e.Slots()) == 6, "the messages do not arrive" })
	out := must("", "geteachsms")
	for from, text := range texts {
		if !strings.Contains(out, `"`+from+`"`) || !strings.Contains(out, "\n"+text+"\n") {
			t.Errorf("%q from %s is not in\n%s", text, from, out)
		}
	}
	if !strings.Contains(out, "6 SMS parts in 4 SMS sequences") {
		t.Errorf("geteachsms: %s", out)
	}
	must("", "deleteallsms", "1")
	must("", "deleteallsms", "3")
	emptied(t, e)

	// The report of the first text comes while gammu listens.
	said := &logged{}
	monitor := exec.Command("/usr/bin/gammu", "-c", conf, "monitor")
	monitor.Stdout, monitor.Env = said, append(os.Environ(), "LC_ALL=C.UTF-8")
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = monitor.Process.Kill(); _ = monitor.Wait() }() // ignored: it has done its work
	within(t, 20*time.Second, func() (bool, string) {
		return strings.Contains(said.String(), "Enabling info about incoming SMS    : No error."), said.String()
	})
	if err := e.Phone("+4915550101").SetMode(On); err != nil {
		t.Fatal(err)
	}
	sent(t, e, "+4915550101", onePart)
	within(t, 20*time.Second, func() (bool, string) {
		s := said.String()
		return regexp.MustCompile(`Reference number +: 250\n`).MatchString(s) && regexp.MustCompile(`Delivery status +: Delivered\n`).MatchString(s), s[max(0, len(s)-2000):]
	})
}

// folder reads all files of a folder in the order of their names.
func folder(t *testing.T, dir string) (names, texts []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		names, texts = append(names, entry.Name()), append(texts, string(b))
	}
	return names, texts
}

func TestGammuSMSD(t *testing.T) {
	needPeer(t, "/usr/bin/gammu-smsd", "gammu-smsd", "--version")
	t.Parallel()
	e := peerModem(t, reportsDirect)
	dir := t.TempDir()
	text := "[smsd]\nservice = files\ndeliveryreport = sms\noutboxformat = unicode\ncommtimeout = 2\nreceivefrequency = 1\nmultiparttimeout = 10\n" +
		"statusfrequency = 0\nresetfrequency = 0\nloopsleep = 1\nlogfile = " + filepath.Join(dir, "log") + "\n"
	for _, name := range []string{"inbox", "outbox", "sentsms", "errorsms"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		text += name + "path = " + path + "/\n"
	}
	conf := gammuConfig(t, e, dir, text)
	// A name that ends in d asks for a report.
	file(t, filepath.Join(dir, "outbox", "OUT+4915550101.txtd"), onePart)
	file(t, filepath.Join(dir, "outbox", "OUT+4915550102.txtd"), twoParts)
	daemon(t, syscall.SIGINT, "/usr/bin/gammu-smsd", "-c", conf)
	sent(t, e, "+4915550101", onePart)
	sent(t, e, "+4915550102", twoParts)
	received := func(want map[string]string) {
		t.Helper()
		within(t, 30*time.Second, func() (bool, string) {
			names, bodies := folder(t, filepath.Join(dir, "inbox"))
			got := map[string]string{} // its files are the parts
			for i, name := range names {
				from := regexp.MustCompile(`_00_(.*)_\d\d\.txt$`).FindStringSubmatch(name)
				if from == nil {
					return false, name
				}
				got[from[1]] += bodies[i]
			}
			for from, text := range want {
				if got[from] != text {
					log, _ := os.ReadFile(filepath.Join(dir, "log")) // ignored: it is shown as far as it goes
					return false, fmt.Sprintf("the inbox holds %q, want %q from %s\n%s", got, text, from, log)
				}
			}
			return true, ""
		})
	}
	received(map[string]string{"+4915550101": "Delivered", "+4915550102": "DeliveredDelivered"})
	references(t, e, 3, true)
	received(deliver(t, e, emoji))
	emptied(t, e)
	if names, _ := folder(t, filepath.Join(dir, "errorsms")); len(names) > 0 {
		t.Errorf("errors: %q", names)
	}
}

func TestSMSTools(t *testing.T) {
	needPeer(t, "/usr/sbin/smsd", "smstools", "-V")
	t.Parallel()
	e := peerModem(t, "")
	dir := t.TempDir()
	text := "devices = EMU\nloglevel = 7\ndelaytime = 1\ndelaytime_mainprocess = 1\nerrorsleeptime = 1\nautosplit = 3\nincoming_utf8 = yes\ndecode_unicode_text = yes\ninternal_combine = yes\n"
	for _, name := range []string{"outgoing", "checked", "failed", "incoming", "sent", "report"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		text += name + " = " + path + "\n"
	}
	for _, name := range []string{"logfile", "infofile", "pidfile"} {
		text += name + " = " + filepath.Join(dir, name) + "\n"
	}
	text += "[EMU]\ndevice = " + e.Path() + "\nincoming = yes\nbaudrate = 115200\nrtscts = no\ninit = AT+CNMI=2,1,0,1,0\nreport = yes\nmemory_start = 0\n"
	conf := file(t, filepath.Join(dir, "smsd.conf"), text)
	file(t, filepath.Join(dir, "outgoing", "a"), "To: 4915550101\nReport: yes\n\n"+onePart)
	file(t, filepath.Join(dir, "outgoing", "b"), "To: 4915550102\nReport: yes\n\n"+twoParts)
	daemon(t, syscall.SIGTERM, "/usr/sbin/smsd", "-t", "-c"+conf)
	sent(t, e, "+4915550101", onePart)
	sent(t, e, "+4915550102", twoParts)

	// files waits until the folder has a file with this header line and body for each wish.
	files := func(name string, want map[string]string) {
		t.Helper()
		within(t, 30*time.Second, func() (bool, string) {
			_, bodies := folder(t, filepath.Join(dir, name))
			for line, text := range want {
				if !slices.ContainsFunc(bodies, func(b string) bool {
					head, body, _ := strings.Cut(b, "\n\n")
					return strings.Contains("\n"+head+"\n", "\n"+line+"\n") && strings.Contains(body, text)
				}) {
					log, _ := os.ReadFile(filepath.Join(dir, "logfile")) // ignored: it is shown as far as it goes
					return false, fmt.Sprintf("%s holds %q, want %q under %s\n%s", name, bodies, text, line, log[max(0, len(log)-4000):])
				}
			}
			return true, ""
		})
	}
	files("sent", map[string]string{"To: 4915550101": onePart, "To: 4915550102": twoParts})
	files("report", map[string]string{"From: 4915550101": "Message_id: 250\n", "From: 4915550102": "Message_id: 252\n"})
	if _, bodies := folder(t, filepath.Join(dir, "report")); len(bodies) != 3 || strings.Count(strings.Join(bodies, ""), "Status: 0,Ok") != 3 {
		t.Errorf("reports %q", bodies)
	}
	references(t, e, 3, true)
	want := map[string]string{}
	for from, text := range deliver(t, e, unicode) {
		want["From: "+strings.TrimPrefix(from, "+")] = text
	}
	files("incoming", want)
	emptied(t, e)

	// The modem is unplugged and comes back under the same name.
	e.Vanish(time.Second)
	if err := e.Deliver("+4915550114", "back again"); err != nil {
		t.Fatal(err)
	}
	files("incoming", map[string]string{"From: 4915550114": "back again"})
	emptied(t, e)

	// smsd tries a message three times.
	e.Network().Fail(Fault{Cause: 38, Times: 3})
	file(t, filepath.Join(dir, "outgoing", "c"), "To: 4915550103\n\n"+onePart)
	files("failed", map[string]string{"To: 4915550103": onePart})
}
