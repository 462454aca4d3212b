package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
)

// TestSMSPresence: the gateway shows operator and signal, and that the modem is
// gone; numbers show what the reports said.
func TestSMSPresence(t *testing.T) {
	const good, bad = "+4915550131", "+4915550132"
	path := filepath.Join(t.TempDir(), "modem")
	e, err := emulator.New(emulator.Config{Link: path, Phones: []emulator.PhoneConfig{{Number: good}, {Number: bad, Mode: emulator.Refuse}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = e.Run(ctx) }) // ignored: it ends with ctx
	t.Cleanup(func() { cancel(); wg.Wait() })
	b := startBox(t, fmt.Sprintf("[[modem]]\nname = \"gsm0\"\ndevice = %q\n[sms]\ncountry = \"49\"\nnumber_presence = true\n", path))
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	alice := dialClient(t, b.addr(t, "XMPP"), filepath.Join(b.dir, "ca", "ca.pem"), "office.localhost", "alice", "correct horse")
	t.Cleanup(func() { _ = alice.Close() }) // ignored: the server may have gone first
	alice.present(t)
	const gateway = "sms.office.localhost"
	sees := func(what, from string, parts ...string) {
		t.Helper()
		alice.sees(t, what, func(xml string) bool {
			if !strings.HasPrefix(xml, "<presence") || !strings.Contains(xml, "from='"+from+"'") {
				return false
			}
			for _, p := range parts {
				if !strings.Contains(xml, p) {
					return false
				}
			}
			return true
		})
	}
	until(t, 20*time.Second, func() (bool, string) {
		out, _ := b.run(t, "", "modem", "status")
		return strings.Contains(out, "gsm0: ready"), out
	})
	alice.subscribe(t, gateway)
	sees("operator and signal", gateway, "<status>Emulated Network, signal -73 dBm</status>")
	e.Vanish(2 * time.Second)
	sees("the loss of the modem", gateway, "<show>xa</show>", "Queued SMS wait.")
	sees("the modem again", gateway, "<status>Emulated Network, signal -73 dBm</status>")

	for _, number := range []string{good, bad} {
		to := number + "@" + gateway
		alice.subscribe(t, to)
		sees("a number", to, "<status>SMS</status>")
		if err := alice.Send("<message type='chat' id='m' to='" + to + "'><body>hello</body></message>"); err != nil {
			t.Fatal(err)
		}
	}
	sees("a phone that was reached", good+"@"+gateway, "<status>Reached ")
	sees("a phone that was not", bad+"@"+gateway, "<show>xa</show>", "did not reach this phone")
}
