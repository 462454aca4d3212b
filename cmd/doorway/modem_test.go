package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem"
	"doorway/modem/emulator"
)

// emulated starts a modem in this process and returns its path.
func emulated(t *testing.T) (*emulator.Emulator, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "modem")
	e, err := emulator.New(emulator.Config{Link: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = e.Run(ctx) }) // ignored: it ends with ctx
	t.Cleanup(func() { cancel(); wg.Wait() })
	return e, path
}

// The modem is found and asked with the server running and stopped, and what
// could harm is refused.
func TestModemProbeAndAT(t *testing.T) {
	e, path := emulated(t)
	b := startBox(t, fmt.Sprintf("[sms]\ncountry = \"49\"\n[[modem]]\nname = \"gsm0\"\ndevice = %q\n", path))
	until(t, 20*time.Second, func() (bool, string) {
		out, _ := b.run(t, "", "modem", "status")
		return strings.Contains(out, "gsm0: ready"), out
	})
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"modem", "status"}, exitOK, []string{"The modem is ready: Emulated Network, LTE, signal -73 dBm."}},
		{[]string{"modem", "at", "AT+CSQ"}, exitOK, []string{"+CSQ: 20,99\nOK\n"}},
		{[]string{"modem", "at", "AT+CPIN?", "--modem", "gsm0"}, exitOK, []string{"+CPIN: READY"}},
		{[]string{"modem", "at", "AT+NONE"}, exitFailed, []string{"ERROR", "refused"}},
		{[]string{"modem", "at", "AT+CMGD=1,4"}, exitFailed, []string{"deletes messages", "--force"}},
		{[]string{"modem", "at", "AT+CMGD=1", "--force"}, exitOK, []string{"OK"}},
		{[]string{"modem", "at", "AT+CMGS=20", "--force"}, exitUsage, []string{"doorway sms send"}},
		{[]string{"modem", "at", "CSQ"}, exitUsage, []string{"begins with AT"}},
		{[]string{"modem", "at", "AT+CSQ", "--modem", "other"}, exitFailed, []string{"no modem called other"}},
		{[]string{"modem", "probe"}, exitOK, []string{path, "doorway EMU-1", "490154203237518", "In use by gsm0"}},
	} {
		out, code := b.run(t, "", c.args...)
		for _, w := range c.want {
			if code != c.code || !strings.Contains(out, w) {
				t.Errorf("%v: code %d, want %d with %q:\n%s", c.args, code, c.code, w, out)
			}
		}
	}
	for _, v := range e.Violations() {
		t.Errorf("violation: %s", v)
	}
	b.stop(t)
	if _, code := b.run(t, "", "modem", "at", "AT"); code != exitNotRunning {
		t.Errorf("modem at, stopped: code %d", code)
	}
	out, code := b.run(t, "", "modem", "probe", "--json")
	var list []modem.Found
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK {
		t.Fatalf("modem probe, stopped: code %d, %v:\n%s", code, err, out)
	}
	if f := list[len(list)-1]; f.Path != path || f.Modem != "gsm0" || f.InUse || f.IMEI != "490154203237518" || f.SIM != "READY" || !strings.Contains(f.Why, "Would be used by gsm0") {
		t.Errorf("found %+v", f)
	}
}

// A network is asked, the credit read and the traffic recorded over the command
// line, and the recording plays again.
func TestModemUSSDCreditRecord(t *testing.T) {
	_, path := emulated(t)
	b := startBox(t, fmt.Sprintf("[sms]\ncountry = \"49\"\n[[modem]]\nname = \"gsm0\"\ndevice = %q\ncredit_code = \"*100#\"\ncredit_low = 20.0\nroaming = \"country\"\ncalls = \"hang-up\"\n", path))
	until(t, 20*time.Second, func() (bool, string) {
		out, _ := b.run(t, "", "modem", "status")
		return strings.Contains(out, "gsm0: ready"), out
	})
	file := filepath.Join(t.TempDir(), "traffic.txt")
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"modem", "ussd", "*100#"}, exitOK, []string{"Your balance is 12.34 EUR."}},
		{[]string{"modem", "ussd", "*101#"}, exitOK, []string{"1 Balance\n2 Data\n", "waits for an answer"}},
		{[]string{"modem", "ussd", "1"}, exitOK, []string{"Your balance"}},
		{[]string{"modem", "ussd", "*102#"}, exitFailed, []string{"does not know this USSD code"}},
		{[]string{"modem", "ussd", "\""}, exitUsage, []string{"cannot be sent"}},
		{[]string{"modem", "credit"}, exitOK, []string{"12.34 EUR\n", "The network says: Your balance"}},
		{[]string{"modem", "credit", "--json"}, exitOK, []string{`"amount":12.34`, `"currency":"EUR"`}},
		{[]string{"modem", "credit", "gsm7"}, exitFailed, []string{"no modem called gsm7"}},
		{[]string{"modem", "status"}, exitOK, []string{"credit         12.34 EUR on ", "own number     +4915550100", "note           The credit of modem gsm0 is low"}},
		{[]string{"modem", "record", "--out", file}, exitOK, []string{"texts and numbers masked", "doorway emulate --replay " + file}},
		{[]string{"modem", "record", "--out", file}, exitFailed, []string{"is there already"}},
		{[]string{"modem", "record", "gsm0"}, exitOK, []string{"> AT+CUSD=1,\"*100#\",15", "< EMU-1"}},
		{[]string{"modem", "record", "--json"}, exitOK, []string{`"modem":"gsm0"`, `"lines":[`}},
		{[]string{"doctor"}, exitFailed, []string{"The credit of modem gsm0 is low"}},
	} {
		out, code := b.run(t, "", c.args...)
		for _, w := range c.want {
			if code != c.code && c.args[0] != "doctor" || !strings.Contains(out, w) {
				t.Errorf("%v: code %d, want %d with %q:\n%.2000s", c.args, code, c.code, w, out)
			}
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := emulator.ParseTranscript(string(text))
	if err != nil || len(rules) == 0 {
		t.Errorf("%d rules, %v", len(rules), err)
	}
}
