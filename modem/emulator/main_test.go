package emulator

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doorway/modem/pdu"
)

// process runs Main as `doorway emulate` does and returns what the ready line says.
func process(t *testing.T, args ...string) (ready map[string]any, stdin io.Closer, ended chan error) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	go func() {
		ended <- Main(ctx, args, inR, outW)
		close(ended)
		_ = outW.Close() // ignored: never fails
	}()
	t.Cleanup(func() {
		cancel()
		for err := range ended {
			if err != nil {
				t.Error(err)
			}
		}
		_ = inW.Close() // ignored: never fails
	})
	line, err := bufio.NewReader(outR).ReadBytes('\n')
	if err != nil {
		t.Fatal("no ready line: ", err, <-ended)
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatal(err)
	}
	return ready, inW, ended
}

func TestMainServesClientAndLogs(t *testing.T) {
	// A folder name too long for a socket address.
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	link, logFile, sock := filepath.Join(dir, "modem"), filepath.Join(dir, "log"), filepath.Join(dir, "sock")
	ready, stdin, ended := process(t, "--pty-link", link, "--log", logFile, "--control", sock, "--number", "+4915550199",
		"--phone", "+4915550101,Got it: {text}", "--phone", "+4915550102", "--parent-dies")
	if ready["modem"] != link || ready["number"] != "+4915550199" || fmt.Sprint(ready["phones"]) != "[+4915550101 +4915550102]" {
		t.Errorf("ready: %v", ready)
	}
	if fi, err := os.Stat(sock); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", fi.Mode(), err)
	}
	f, err := os.OpenFile(link, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &peer{t: t, f: f}
	p.at("ATE0")
	p.at("AT+CNMI=2,1,0,1,0")
	p.send("+4915550101", "Pump 7 is down", pdu.Options{StatusReport: true})
	p.until("+CMTI: \"ME\",0\r\n") // the phone's answer
	ctx := context.Background()
	c := Client{Socket: sock}
	if err := c.Send(ctx, "+4915550102", "On my way"); err != nil {
		t.Fatal(err)
	}
	p.until("+CMTI: \"ME\",1\r\n")
	msgs, err := c.Log(ctx, "+4915550101")
	if err != nil || len(msgs) != 1 || msgs[0].Text != "Pump 7 is down" || msgs[0].From != "+4915550199" {
		t.Errorf("log of the phone: %v %v", msgs, err)
	}
	if _, err := c.Do(ctx, Request{Op: "set", Number: "+4915550101", Mode: "sleepy"}); err == nil {
		t.Error("an unknown mode was taken")
	}
	if _, err := c.Do(ctx, Request{Op: "fault", Fault: &Fault{Cause: 38}}); err != nil {
		t.Error(err)
	}
	if phones, err := c.Phones(ctx); err != nil || len(phones) != 2 {
		t.Error(phones, err)
	}
	if err := Main(ctx, []string{"--control", sock}, strings.NewReader(""), io.Discard); err == nil || !strings.Contains(err.Error(), "another emulator") {
		t.Errorf("a second emulator on the same socket: %v", err)
	}
	_ = stdin.Close() // ignored: never fails
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, sock} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	}
	entries, err := ReadLog(logFile)
	if err != nil {
		t.Fatal(err)
	}
	var story []string
	for _, e := range entries {
		switch e.Kind {
		case LogRx, LogTx:
		default:
			story = append(story, strings.TrimSpace(e.Kind+" "+e.From+">"+e.To+" "+e.Text))
		}
	}
	want := []string{
		"submit >+4915550101 Pump 7 is down",
		"phone-received +4915550199>+4915550101 Pump 7 is down",
		"phone-sent +4915550101>+4915550199 Got it: Pump 7 is down",
		"phone-sent +4915550102>+4915550199 On my way",
	}
	for _, w := range want {
		found := false
		for _, s := range story {
			found = found || s == w
		}
		if !found {
			t.Errorf("not in the log: %q; there is %q", w, story)
		}
	}
}

func TestMainRefusesArguments(t *testing.T) {
	for _, args := range [][]string{
		{"--phone", "5050"}, {"--number", "office"}, {"--script", "B99"}, {"stray"}, {"--latency", "-1s"}, {"--pty-link", "/does/not/exist/modem"},
	} {
		if err := Main(context.Background(), args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	var help strings.Builder
	if err := Main(context.Background(), []string{"--help"}, strings.NewReader(""), &help); err != nil || !strings.Contains(help.String(), "--") && !strings.Contains(help.String(), "-pty-link") {
		t.Errorf("%q %v", help.String(), err)
	}
}

// A recording is played by a process of its own.
func TestMainReplays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "traffic.txt")
	if err := os.WriteFile(file, []byte("> AT+CGMM\n< EC25\n< OK\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parseArgs([]string{"--replay", file}, io.Discard)
	if err != nil || len(o.cfg.Rules) != 1 {
		t.Errorf("%d rules, %v", len(o.cfg.Rules), err)
	}
	if _, err := parseArgs([]string{"--replay", file + "x"}, io.Discard); err == nil {
		t.Error("a missing file is taken")
	}
	if err := os.WriteFile(file, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parseArgs([]string{"--replay", file}, io.Discard); err == nil || !strings.Contains(err.Error(), "holds no command") {
		t.Errorf("empty: %v", err)
	}
}
