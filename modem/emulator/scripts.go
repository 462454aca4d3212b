package emulator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// scripts are the ready-made behaviours by name. %D is the duration that a
// name may carry behind @; what follows the name here is its default.
var scripts = map[string]string{
	// Echo until ATE0 (the modem always starts so), and again after a reset in mid-work.
	"B01": `
on start
 set echo 1
on command \+CMGS=
 nth 2
 result ERROR
 set reset
`,
	"B02": `
on command ^
 nth 1
 swallow
`,
	"B03": `
on start
 set prompt 140
`,
	"B04": `
on command \+(CMEE|CSMS|CPMS|CNMI)=[^?]
 result ERROR
`,
	"B05-lf":    "on start\n set dialect lf\n",
	"B05-cr":    "on start\n set dialect cr\n",
	"B05-blank": "on start\n set dialect blank\n",
	"B05-bare":  "on start\n set dialect bare\n",
	"B06@5200ms": `
on command \+CSQ
 nth 1
 delay %D
`,
	"B07": "on command \\+GCAP\n result ERROR\n",
	"B08@60s": `
on command \+CSQ
 nth 1
 swallow
 repeat 0s 100ms 600 "\r\n^RSSI:17\r\n"
`,
	// A message arrives and noise comes up between the CMGS line and its prompt.
	"B09@100ms": `
on command \+CMGS=
 nth 1
 before "\r\n^RSSI:17\r\n"
 receive +4915550109 "between command and prompt"
 delay %D
`,
	"B10@100ms": `
on pdu
 nth 1
 before "\r\n^HCSQ:\"LTE\",45,40,120,20\r\n"
 receive +4915550110 "between text and answer"
 delay %D
`,
	"B11": "on start\n set incoming ME\n",
	"B15-crlf": `
on command \+CMGS=
 instead "\r\n> "
`,
	"B15-bare": `
on command \+CMGS=
 instead ">"
`,
	"B15-line": `
on command \+CMGS=
 instead "\r\n>\r\n"
`,
	"B15-glued": `
on command \+CMGS=
 instead "{cmd}\r> "
`,
	"B15-urc": `
on command \+CMGS=
 instead "\r\n^RSSI:17> "
`,
	"B15-twice": `
on command \+CMGS=
 instead "\r\n> \r\n> "
`,
	// The second prompt comes when the PDU is being written.
	"B15-twice-late@50ms": `
on command \+CMGS=
 urc %D "\r\n> "
on pdu
 delay 200ms
`,
	"B16@55s": `
on pdu
 nth 1
 delay %D
`,
	"B17": `
on pdu
 nth 1
 instead "\r\nOK\r\n"
`,
	// No answer in time; it comes much later.
	"B19@130s": `
on pdu
 nth 1
 delay %D
`,
	// The part has reached the service centre, then the port is gone.
	"B20@2s": `
on pdu
 nth 1
 vanish %D
`,
	// The part has not.
	"B20-lost@2s": `
on pdu
 nth 1
 skip
 vanish %D
`,
	// Time to kill the client between Ctrl-Z and +CMGS.
	"B22-before@5s": `
on pdu
 nth 1
 delay %D
`,
	// Time to kill it between +CMGS and the end of the command.
	"B22-after@5s": `
on pdu
 nth 1
 finaldelay %D
`,
	"B35": `
on pdu
 nth 2
 set reset
 mute
 urc 1s "\r\nRDY\r\n"
`,
}

// alias are names of the matrix that have one obvious variant.
var alias = map[string]string{"B05": "B05-lf", "B15": "B15-twice", "B22": "B22-before"}

// Script returns a ready-made behaviour by its name, for example "B15-twice".
// A duration behind @ replaces the usual one: "B16@2s". "B18-38" makes the
// service centre's first answer +CMS ERROR: 38, and so on.
func Script(name string) ([]Rule, error) {
	base, duration, _ := strings.Cut(name, "@")
	if a, ok := alias[base]; ok {
		base = a
	}
	if code, ok := strings.CutPrefix(base, "B18-"); ok && code != "" && digits(code) == len(code) {
		return ParseScript("on pdu\n nth 1\n result +CMS ERROR: " + code)
	}
	for key, text := range scripts {
		n, d, _ := strings.Cut(key, "@")
		if n != base {
			continue
		}
		if duration != "" {
			d = duration
		}
		rules, err := ParseScript(strings.ReplaceAll(text, "%D", d))
		if err != nil {
			return nil, fmt.Errorf("script %s: %w", name, err)
		}
		return rules, nil
	}
	return nil, fmt.Errorf("unknown script %q; there are %s", name, strings.Join(ScriptNames(), ", "))
}

// ScriptNames lists the ready-made behaviours.
func ScriptNames() []string {
	var names []string
	for key := range maps.Keys(scripts) {
		n, _, _ := strings.Cut(key, "@")
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
