package modem

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/warthog618/modem/at"
	"github.com/warthog618/modem/gsm"

	"doorway/modem/port"
)

// The command engine of github.com/warthog618/modem v0.4.0 on a pseudo-terminal.
// The tag is there because that engine, alone in the program, needs the module
// github.com/pkg/errors.
//
// Each test pins one trap, for which the driver has an engine of its own. A
// test that fails after an upgrade tells that the trap is gone.

// library runs the engine on a wire.
func library(t *testing.T, w *wire, o ...at.Option) (*at.AT, *port.Port) {
	t.Helper()
	p, err := port.Open(port.Config{Path: w.path, LockDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a := at.New(p, o...)
	t.Cleanup(func() { p.Close(); <-a.Closed() })
	return a, p
}

// say writes bytes nobody asked for.
func (w *wire) say(t *testing.T, s string) {
	t.Helper()
	if _, err := w.m.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

func sms(in, prompt, result string) string {
	switch {
	case strings.HasPrefix(in, "AT+CMGS"):
		return prompt
	case strings.HasSuffix(in, "\x1a"):
		return result
	}
	return ""
}

func TestLibrarySecondPromptSendsTwice(t *testing.T) {
	w := newWire(t, func(in string) string { return sms(in, "\r\n> \r\n> ", "") })
	a, _ := library(t, w)
	_, _ = a.SMSCommand("+CMGS=3", "00060405", at.WithTimeout(time.Second)) // ignored: it times out
	if n := w.count("00060405\x1a"); n != 2 {
		t.Errorf("the PDU was written %d times, the trap wrote it twice", n)
	}
}

func TestLibraryPromptHidden(t *testing.T) {
	w := newWire(t, func(in string) string { return sms(in, "\r\n^RSSI:17> ", "\r\n+CMGS: 1\r\n\r\nOK\r\n") })
	a, _ := library(t, w)
	if _, err := a.SMSCommand("+CMGS=3", "00060405", at.WithTimeout(300*time.Millisecond)); err != at.ErrDeadlineExceeded {
		t.Errorf("%v: the trap timed out", err)
	}
}

func TestLibraryCROnlyHangs(t *testing.T) {
	w := newWire(t, func(string) string { return "\rOK\r" })
	a, _ := library(t, w)
	if _, err := a.Command("", at.WithTimeout(300*time.Millisecond)); err != at.ErrDeadlineExceeded {
		t.Errorf("%v: the trap timed out", err)
	}
}

func TestLibraryLateAnswerIsNextAnswer(t *testing.T) {
	w := newWire(t, func(in string) string {
		if strings.Contains(in, "+CGMM") {
			return "\r\nQuectel\r\n\r\nOK\r\n" // the answer to +CGMI, late
		}
		return ""
	})
	a, _ := library(t, w)
	if _, err := a.Command("+CGMI", at.WithTimeout(100*time.Millisecond)); err != at.ErrDeadlineExceeded {
		t.Fatal(err)
	}
	if lines, err := a.Command("+CGMM", at.WithTimeout(30*time.Second)); err != nil || len(lines) != 1 || lines[0] != "Quectel" {
		t.Errorf("%q, %v: the trap gave the earlier command's answer", lines, err)
	}
}

func TestLibraryDefaultLimitIsShort(t *testing.T) {
	w := newWire(t, func(in string) string { return sms(in, "\r\n> ", "") })
	a, _ := library(t, w)
	_, err := a.SMSCommand("+CMGS=3", "00060405")
	if err != at.ErrDeadlineExceeded {
		t.Errorf("%v: the trap timed out after 1 s", err)
	}
	waitFor(t, "ESC", time.Second, func() bool { return w.count("\x1b") == 1 }, nil) // although Ctrl-Z is out
}

func TestLibraryUnsolicitedIsInformation(t *testing.T) {
	w := newWire(t, func(string) string { return "\r\n+CMTI: \"ME\",3\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n" })
	a, _ := library(t, w, at.WithIndication("+CMTI:", func([]string) {}))
	if lines, err := a.Command("+CSQ"); err != nil || len(lines) != 2 {
		t.Errorf("%q, %v: the trap has both lines", lines, err)
	}
}

func TestLibraryHandlersRunAtOnce(t *testing.T) {
	w := newWire(t, func(string) string { return "" })
	first, second := make(chan struct{}), make(chan struct{})
	library(t, w, at.WithIndication("+CMTI:", func(l []string) {
		if strings.HasSuffix(l[0], "1") {
			<-first
			return
		}
		close(second)
	}))
	w.say(t, "\r\n+CMTI: \"ME\",1\r\n\r\n+CMTI: \"ME\",2\r\n")
	select {
	case <-second: // while the first is still at work
	case <-time.After(30 * time.Second):
		t.Error("the second line waits for the first: the trap does not")
	}
	close(first)
}

func TestLibraryTrailingLineIsBlind(t *testing.T) {
	w := newWire(t, func(string) string { return "" })
	got := make(chan []string, 1)
	library(t, w, at.WithIndication("+CDS:", func(l []string) { got <- l }, at.WithTrailingLine))
	w.say(t, "+CDS: 3\r\n^RSSI:17\r\n00060405\r\n")
	select {
	case l := <-got:
		if len(l) != 2 || l[1] != "^RSSI:17" {
			t.Errorf("%q: the trap takes the noise", l)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing")
	}
}

func TestLibraryEndlessLineCloses(t *testing.T) {
	w := newWire(t, func(string) string { return "" })
	a, _ := library(t, w)
	chunk := strings.Repeat("x", 1000)
	for range 70 {
		w.say(t, chunk)
	}
	select {
	case <-a.Closed():
	case <-time.After(30 * time.Second):
		t.Error("still open: the trap closes")
	}
}

func TestLibraryUnplugged(t *testing.T) {
	w := newWire(t, func(string) string { return "" })
	a, p := library(t, w)
	time.AfterFunc(50*time.Millisecond, func() { p.Close() })
	if _, err := a.Command("+CSQ", at.WithTimeout(30*time.Second)); err != at.ErrClosed {
		t.Errorf("%v, want closed", err)
	}
	if _, err := a.Command("+CSQ"); err != at.ErrClosed {
		t.Errorf("then %v: it needs a new engine", err)
	}
}

func TestLibraryInit(t *testing.T) {
	w := newWire(t, func(in string) string {
		if strings.Contains(in, "+GCAP") {
			return "\r\n+GCAP: +FCLASS, +CGSM\r\n\r\nOK\r\n"
		}
		if strings.HasPrefix(in, "AT") {
			return "\r\nOK\r\n"
		}
		return ""
	})
	a, _ := library(t, w)
	if err := gsm.New(a).Init(); err != gsm.ErrNotGSMCapable {
		t.Errorf("%v: the trap refuses a blank after the comma", err)
	}
	if w.count("ATZ\r") != 1 || w.count("\n") == 0 {
		t.Errorf("inputs %q: the trap sends ATZ, and CR LF", w.inputs())
	}
}

func TestLibraryAcknowledgesBeforeHandler(t *testing.T) {
	w := newWire(t, func(in string) string {
		if strings.HasPrefix(in, "AT") {
			return "\r\nOK\r\n"
		}
		return ""
	})
	a, _ := library(t, w)
	acked := make(chan int, 1)
	err := gsm.New(a).StartMessageRx(func(gsm.Message) { acked <- w.count("+CNMA") }, func(err error) { t.Error(err); acked <- 0 })
	if err != nil {
		t.Fatal(err)
	}
	w.say(t, "+CMT: ,24\r\n00040B914151551010F20000622122810000000"+"5E8329BFD06\r\n")
	select {
	case n := <-acked:
		if n != 1 {
			t.Errorf("%d +CNMA before the handler: the trap sends one", n)
		}
	case <-time.After(30 * time.Second):
		t.Error("no message")
	}
}

func TestLibrarySendPDU(t *testing.T) {
	w := newWire(t, func(in string) string { return sms(in, "\r\n> ", "\r\nOK\r\n") })
	a, _ := library(t, w)
	if _, err := gsm.New(a).SendPDU([]byte{6, 4, 5}); err != gsm.ErrMalformedResponse {
		t.Errorf("%v: the trap is an error that does not say that the part is out", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic on an empty text any more")
		}
	}()
	_, _ = gsm.New(a).SendShortMessage("+4915550101", "") // ignored: it panics
}

func TestLibraryReportHeader(t *testing.T) {
	if _, err := gsm.UnmarshalTPDU([]string{"+CDS: 26", "00"}); err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("%v: the trap cannot read a header without a comma", err)
	}
}
