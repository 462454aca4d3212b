package emulator

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"doorway/modem/pdu"
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
	"B04-cmee":  "on command \\+CMEE=\\d\n result ERROR\n",
	"B04-csms":  "on command \\+CSMS=\\d\n result ERROR\n",
	"B04-cpms":  "on command \\+CPMS=[^?]\n result ERROR\n",
	"B04-cnmi":  "on command \\+CNMI=\\d\n result ERROR\n",
	"B05-lf":    "on start\n set dialect lf\n",
	"B05-cr":    "on start\n set dialect cr\n",
	"B05-blank": "on start\n set dialect blank\n",
	"B05-bare":  "on start\n set dialect bare\n",
	"B06@5200ms": `
on command \+CSQ
 nth 1
 delay %D
`,
	"B07":       "on command \\+GCAP\n result ERROR\n",
	"B07-nogsm": "on command \\+GCAP\n instead \"\\r\\n+GCAP: +FCLASS,+DS\\r\\n\\r\\nOK\\r\\n\"\n",
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
	// A message is pushed; its PDU comes much later, with noise in between.
	"B12@2s": `
on command \+CSQ
 nth 1
 urc 0s "\r\n+CMT: ,%N\r\n"
 repeat 1ms 50ms 3 "\r\n^RSSI:17\r\n"
 urc %D "%P\r\n"
`,
	// Messages and reports are pushed only, and each waits for +CNMA.
	"B13": `
on start
 set csms 1
on command \+CSMS=0
 result +CMS ERROR: 303
on command \+CNMI=\d,1
 result +CMS ERROR: 302
`,
	"B14":      "on start\n set full ^SMMEMFULL: \"ME\"\n",
	"B14-ciev": "on start\n set full +CIEV: \"SMSFULL\",1\n",
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
	"B24-3":  "on start\n set registration 3\n",
	"B24-8":  "on start\n set registration 8\n",
	"B24-11": "on start\n set registration 11\n",
	// Reports are stored only, and in the second row announced in a wrong place.
	"B25": "on command \\+CNMI=\\d,\\d,\\d,1\n result +CMS ERROR: 302\n",
	"B25-sm": `
on start
 set cdsi SM
on command \+CNMI=\d,\d,\d,1
 result +CMS ERROR: 302
`,
	// Listing gets no answer, or fails at slot 3, which cannot be read either.
	"B30": "on command \\+CMGL\n swallow\n",
	"B30-slot": `
on command \+CMGL
 instead "\r\n+CMS ERROR: 320\r\n"
on command \+CMGR=3
 result +CMS ERROR: 320
`,
	"B31": "on command \\+CMGD=\\d\n result +CMS ERROR: 320\n",
	// Counts that are wrong, and counts that are missing.
	"B32-stale": `
on command \+CPMS\?
 instead "\r\n+CPMS: \"ME\",0,50,\"ME\",0,50,\"ME\",0,50\r\n\r\nOK\r\n"
`,
	"B32-missing": `
on command \+CPMS\?
 instead "\r\n+CPMS: \"ME\",,,\"ME\",,,\"ME\",,\r\n\r\nOK\r\n"
on command \+CPMS=[^?]
 instead "\r\n+CPMS:\r\n\r\nOK\r\n"
`,
	// The SIM says that it is busy, for as many questions.
	"B33-busy": `
on command \+CPIN\?
 times 8
 result +CME ERROR: 14
`,
	// The answer to +CSQ comes too late, in one piece with an announcement and
	// the answer to the AT that was sent meanwhile.
	"B36": `
on command \+CSQ
 nth 1
 swallow
on command ^AT$
 nth 1
 before "\r\n+CSQ: 11,99\r\n\r\nOK\r\n\r\n+CMTI: \"ME\",0\r\n"
`,
	"B35-sysstart": `
on pdu
 nth 2
 set reset
 mute
 urc 300ms "\r\n^SYSSTART\r\nSMS Ready\r\n"
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
		text = strings.ReplaceAll(text, "%D", d)
		if strings.Contains(text, "%P") {
			line, n := pushed("pushed in two lines")
			text = strings.NewReplacer("%P", line, "%N", fmt.Sprint(n)).Replace(text)
		}
		rules, err := ParseScript(text)
		if err != nil {
			return nil, fmt.Errorf("script %s: %w", name, err)
		}
		return rules, nil
	}
	return nil, fmt.Errorf("unknown script %q; there are %s", name, strings.Join(ScriptNames(), ", "))
}

// pushed is the line of a message as +CMT shows it, and its length.
func pushed(text string) (line string, length int) {
	from, _ := pdu.ParseNumber("+4915550112") // ignored: it is a number
	b, err := pdu.EncodeDeliver(text, pdu.DeliverOptions{From: from, Time: time.Unix(1700000000, 0)})
	if err != nil {
		return "", 0 // ignored: the text is ours
	}
	return strings.ToUpper(hex.EncodeToString(append([]byte{0}, b[0]...))), len(b[0])
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
