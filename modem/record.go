package modem

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"doorway/modem/pdu"
)

// Bounds of the flight recorder.
const (
	recordFor   = 10 * time.Minute
	recordLines = 3000
	recordBytes = 192 << 10
)

// recorder keeps the last minutes of traffic with a modem in memory, without
// what is private: texts, codes and most digits of numbers are masked before
// they are kept. It is used by two goroutines of the port and by readers.
type recorder struct {
	mu    sync.Mutex // guards what follows
	lines []RecordLine
	first int // of lines: those before are free
	bytes int
}

// RecordLine is one line of traffic.
type RecordLine struct {
	At   time.Time `json:"at"`
	Dir  string    `json:"dir"` // ">" to the modem, "<" from it, "!" what else happened
	Line string    `json:"line"`
}

// Recording is what the flight recorder holds. Its text (WriteTo) is read by
// the emulator (emulator.ParseTranscript).
type Recording struct {
	Modem        string       `json:"modem"`
	At           time.Time    `json:"at"`
	Manufacturer string       `json:"manufacturer,omitempty"`
	Model        string       `json:"model,omitempty"`
	Firmware     string       `json:"firmware,omitempty"`
	Text         string       `json:"text"` // the state, as a sentence
	Lines        []RecordLine `json:"lines"`
}

func (r *recorder) add(dir byte, line string) {
	line = private(dir, line)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, RecordLine{At: now, Dir: string(dir), Line: line})
	r.bytes += len(line)
	for r.first < len(r.lines) && (len(r.lines)-r.first > recordLines || r.bytes > recordBytes || now.Sub(r.lines[r.first].At) > recordFor) {
		r.bytes -= len(r.lines[r.first].Line)
		r.lines[r.first] = RecordLine{}
		r.first++
	}
	if r.first > 256 && r.first*2 > len(r.lines) { // the free half is given back
		n := copy(r.lines, r.lines[r.first:])
		clear(r.lines[n:])
		r.lines, r.first = r.lines[:n], 0
	}
}

// Record gives what the flight recorder holds: the traffic of the last ten
// minutes, at most 3000 lines or 192 KiB, with texts and numbers masked.
func (d *Driver) Record() Recording {
	st := d.Status()
	rec := Recording{Modem: st.Name, At: time.Now(), Manufacturer: st.Manufacturer, Model: st.Model, Firmware: st.Firmware, Text: st.Text}
	d.recorder.mu.Lock()
	defer d.recorder.mu.Unlock()
	rec.Lines = append(rec.Lines, d.recorder.lines[d.recorder.first:]...)
	return rec
}

// WriteTo writes the recording as a transcript.
func (r Recording) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Traffic of modem %s until %s, recorded by doorway. Texts, codes and most digits of numbers are masked.\n",
		r.Modem, r.At.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "# %s\n# %s\n", oneLine(strings.TrimSpace(r.Manufacturer+" "+r.Model+" "+r.Firmware)), oneLine(r.Text))
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "+%.3f %s %s\n", l.At.Sub(r.Lines[0].At).Seconds(), l.Dir, l.Line)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

// trace is what the port tells of its lines.
func (d *Driver) trace(dir byte, line string) {
	d.recorder.add(dir, line)
	if d.cfg.Trace != nil {
		d.cfg.Trace(dir, line)
	}
}

// happened puts an event between the lines.
func (d *Driver) happened(what string) { d.recorder.add('!', oneLine(what)) }

// private masks what is nobody's business in a line: TPDUs are redacted, in
// other lines each run of seven digits or more, which is a number of a person,
// of the SIM or of a voucher, keeps its last three, and the text of USSD goes.
func private(dir byte, line string) string {
	if dir == '!' {
		return line
	}
	body, end := line, ""
	if s, ok := strings.CutSuffix(line, "<Ctrl-Z>"); ok {
		body, end = s, "<Ctrl-Z>"
	}
	if isHex(body, 8) && !isDecimal(body) {
		return privatePDU(body, dir == '>' || end != "") + end
	}
	if isHex(body, 20) { // a PDU of digits only
		return privatePDU(body, dir == '>') + end
	}
	if i := strings.Index(strings.ToUpper(body), "+CUSD"); i >= 0 {
		return privateUSSD(body)
	}
	return privateDigits(body) + end
}

func isDecimal(s string) bool { return strings.Trim(s, "0123456789") == "" }

// privatePDU masks a PDU line; the SMSC field stays, it is no secret.
func privatePDU(line string, mo bool) string {
	b, err := hex.DecodeString(line)
	if err != nil || len(b) == 0 {
		return line[:min(len(line), 2)] + strings.Repeat("0", max(len(line)-2, 0))
	}
	n := min(1+int(b[0]), len(b))
	return strings.ToUpper(hex.EncodeToString(append(b[:n:n], pdu.Redact(b[n:], mo)...)))
}

// privateUSSD masks the text of +CUSD: its digits but not the amounts of a
// credit, and all of it when it is in hex digits.
func privateUSSD(line string) string {
	a, b := strings.IndexByte(line, '"'), strings.LastIndexByte(line, '"')
	if a < 0 || b <= a {
		return privateDigits(line)
	}
	text := line[a+1 : b]
	if isHex(text, 2) {
		text = strings.Repeat("0078", len(text)/4)
	} else {
		text = privateDigits(text)
	}
	return line[:a+1] + text + line[b:]
}

// privateDigits masks long runs of digits.
func privateDigits(s string) string {
	const short, shown = 7, 3
	b := []byte(s)
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && b[j] >= '0' && b[j] <= '9' {
			j++
		}
		if j-i >= short {
			for k := i; k < j-shown; k++ {
				b[k] = '0'
			}
		}
		i = j + 1
	}
	return string(b)
}
