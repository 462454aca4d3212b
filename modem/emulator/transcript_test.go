package emulator

import (
	"strings"
	"testing"
)

const composed = `# Composed for this test.
+0.000 ! open
+0.001 > <ESC>
+0.002 > AT+CSQ
+0.003 < AT+CSQ
+0.010 < +CSQ: 17,99
+0.011 < OK
+0.500 < ^RSSI:17
+1.000 > AT+CSQ
+1.001 < +CME ERROR: 14
> AT+CPIN="****"
< OK
> AT+CMGR=3
< +CMGR: 1,,23
< 0011000A9155155501010000AA05F8329BFD06
< OK
> AT+CMGS=20
< >
> 0011000A9155155501010000AA05F8329BFD06<Ctrl-Z>
< +CMS ERROR: 38
> AT+NONE
% on command \+CBC
%  result ERROR
`

func TestTranscriptAnswers(t *testing.T) {
	rules, err := ParseTranscript(composed)
	if err != nil {
		t.Fatal(err)
	}
	_, c := routed(t, Config{Rules: rules}, "ATE0")
	for _, step := range []struct{ in, want string }{
		{"AT+CSQ", "+CSQ: 17,99|OK"}, {"AT+CSQ", "+CME ERROR: 14"}, {"AT+CSQ", "+CME ERROR: 14"},
		{"AT+CBC", "ERROR"}, {"AT+CGMM", "EMU-1|OK"},
	} {
		got := strings.Join(strings.Fields(strings.ReplaceAll(c.at(step.in), "^RSSI:17", "")), "|")
		if got != strings.Join(strings.Fields(step.want), "|") {
			t.Errorf("%s: %s, want %s", step.in, got, step.want)
		}
	}
}

// A command that nobody waited for is none that was not answered.
func TestTranscriptCutOff(t *testing.T) {
	for text, want := range map[string]int{
		"+0.000 > AT+CSQ\n+0.001 < OK\n+5.000 > AT+CBC\n": 1,
		"+0.000 > AT+CBC\n+0.100 ! stopped\n":             0,
		"+0.000 > AT+CBC\n+5.000 ! stuck\n":               1,
		"> AT+CBC\n":                                      1,
	} {
		rules, err := ParseTranscript(text)
		if err != nil || len(rules) != want {
			t.Errorf("%q: %d rules, %v, want %d", text, len(rules), err, want)
		}
	}
}

func TestTranscriptErrors(t *testing.T) {
	for text, want := range map[string]string{
		"> AT\nsaid what\n": "line 2", "% on never\n": "script line 1", strings.Repeat("#\n", maxTranscript): "larger than",
	} {
		if _, err := ParseTranscript(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// FuzzTranscript: a recording from anywhere makes rules or an error.
func FuzzTranscript(f *testing.F) {
	f.Add(composed)
	f.Add("> \n< \n> <Ctrl-Z>\n< OK\n+1e309 > AT\n< \\x00\\\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseTranscript(text)
		if err == nil && len(rules) > strings.Count(text, "\n")+1 {
			t.Errorf("%d rules", len(rules))
		}
	})
}
