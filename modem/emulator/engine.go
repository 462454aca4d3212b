package emulator

import (
	"fmt"
	"strings"
	"time"
)

const (
	ctrlZ = 0x1A
	esc   = 0x1B
)

// answer is what a command line leads to. An empty final means that no result
// code follows (the prompt).
type answer struct {
	lines []string
	final string
	delay time.Duration // of the network
}

// feed takes bytes from the client, one by one as a modem's line reader does.
func (e *Emulator) feed(b []byte) {
	for _, c := range b {
		e.rx = append(e.rx, c)
		if c == '\r' || c == ctrlZ || c == esc || len(e.rx) >= 4096 {
			e.flushRx()
		}
		if e.busy {
			if len(e.queued) == 0 && c != '\n' && c != esc && c != '\r' {
				e.violations = append(e.violations, fmt.Sprintf("bytes came while %q was being carried out", e.lastLine))
			}
			e.queued = append(e.queued, c)
			continue
		}
		e.take(c)
	}
	e.flushEcho()
}

func (e *Emulator) flushRx() {
	if len(e.rx) > 0 {
		e.log.add(Entry{Kind: LogRx, Modem: e.Number(), Data: string(e.rx)})
		e.rx = e.rx[:0]
	}
}

func (e *Emulator) take(c byte) {
	if e.prompt > 0 {
		e.takePDU(c)
		return
	}
	if e.echo && c != esc {
		e.echoed = append(e.echoed, c)
	}
	switch c {
	case '\r':
		line := string(e.line)
		e.line = e.line[:0]
		e.commandLine(line)
	case '\n':
	case '\b', 0x7F:
		if len(e.line) > 0 {
			e.line = e.line[:len(e.line)-1]
		}
	case ctrlZ, esc:
		e.line = e.line[:0]
	default:
		if len(e.line) < 2048 {
			e.line = append(e.line, c)
		}
	}
}

// flushEcho sends the echo of what came; write does so too, to keep the order.
func (e *Emulator) flushEcho() {
	if len(e.echoed) > 0 {
		s := string(e.echoed)
		e.echoed = e.echoed[:0]
		e.write(s)
	}
}

// takePDU collects the PDU behind a prompt (3GPP TS 27.005 §4.3): Ctrl-Z
// sends, ESC cancels, white space does not count.
func (e *Emulator) takePDU(c byte) {
	if e.echo && c != esc {
		e.echoed = append(e.echoed, c)
	}
	switch c {
	case ctrlZ:
		text := string(e.line)
		e.line, e.lastLine = e.line[:0], "PDU"
		e.pduLine(text)
	case esc:
		e.line, e.prompt = e.line[:0], 0
		e.write(e.render(answer{final: "OK"}))
		e.flushHeld()
	case '\r', '\n', ' ':
	default:
		if len(e.line) < 2048 {
			e.line = append(e.line, c)
		}
	}
}

func (e *Emulator) commandLine(line string) {
	if strings.EqualFold(strings.TrimSpace(line), "A/") {
		line = e.lastLine
	}
	cmds, ok, bad := parseLine(line)
	if !ok {
		return // not for us: no answer (V.250 §5.2.1)
	}
	e.lastLine = line
	r := pick(e.rules, OnCommand, line)
	e.respond(r, line, func() answer { return e.executeAll(cmds, bad) })
}

func (e *Emulator) pduLine(text string) {
	n, cmd := e.prompt, e.promptFor
	e.prompt = 0
	r := pick(e.rules, OnPDU, text)
	e.respond(r, e.lastLine, func() answer { return e.acceptPDU(cmd, n, text) })
}

// executeAll carries out the commands of a line until one fails (V.250 §5.4).
func (e *Emulator) executeAll(cmds []command, bad bool) answer {
	var a answer
	for i, c := range cmds {
		one := e.execute(c)
		a.lines = append(a.lines, one.lines...)
		if one.final != "OK" {
			a.final = one.final
			if one.final == "" && i < len(cmds)-1 { // a prompt ends the line
				e.violations = append(e.violations, "commands behind "+c.name)
			}
			return a
		}
	}
	a.final = "OK"
	if bad {
		a.final = "ERROR"
	}
	return a
}

// before does what a rule does in front of the answer.
func (e *Emulator) before(r Rule, line string) {
	for _, s := range r.Set {
		if err := e.apply(s); err != nil {
			e.violations = append(e.violations, "script: "+err.Error())
		}
	}
	if m := e.memory(e.mem[0]); m != nil {
		for _, s := range r.put {
			if m.valid(s.Index) && m.slots[s.Index] == nil {
				m.slots[s.Index] = &Slot{Storage: m.Name, Index: s.Index, Stat: s.Stat, TPDU: s.TPDU}
			}
		}
	}
	gen := e.generation
	for _, u := range r.Unasked {
		for i := range max(u.Count, 1) {
			e.plan.after(u.After+time.Duration(i)*u.Every, func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				if e.generation == gen || strings.Contains(u.Raw, "RDY") {
					e.write(strings.ReplaceAll(u.Raw, "{cmd}", line))
				}
			})
		}
	}
}

// respond carries a line out as the rule says, and answers.
func (e *Emulator) respond(r Rule, line string, do func() answer) {
	e.before(r, line)
	var a answer
	switch {
	case r.Swallow:
		return
	case r.Result != "":
		a.final = r.Result
		e.prompt = 0
	case !r.Skip:
		a = do()
	}
	gen := e.generation // a reset of the command's own making still has its answer
	for _, m := range r.Receive {
		e.receiveNow(m)
	}
	if r.Mute {
		return
	}
	info, final := e.renderInfo(a), e.renderFinal(a)
	if r.Replace {
		info, final = strings.ReplaceAll(r.Instead, "{cmd}", line), ""
	}
	out := r.Before + info
	rest := final + r.After
	if r.Spoil != nil {
		out, rest = r.Spoil(out+rest), ""
	}
	if r.Partial > 0 {
		out, rest = (out + rest)[:min(r.Partial, len(out+rest))], ""
	}
	delay := r.Delay + a.delay
	if delay == 0 && r.FinalDelay == 0 && !r.Vanish {
		e.write(out + rest)
		if e.prompt == 0 {
			e.flushHeld()
		}
		return
	}
	e.busy = true
	e.plan.after(delay, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.generation != gen {
			return
		}
		if r.Vanish {
			e.vanish(r.Back)
			return
		}
		if r.FinalDelay == 0 {
			e.write(out + rest)
			e.done()
			return
		}
		e.write(out)
		e.plan.after(r.FinalDelay, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.generation == gen {
				e.write(rest)
				e.done()
			}
		})
	})
}

// done takes up the input that came while an answer was due.
func (e *Emulator) done() {
	e.busy = false
	if e.prompt == 0 {
		e.flushHeld()
	}
	defer e.flushEcho()
	for !e.busy && len(e.queued) > 0 {
		c := e.queued[0]
		e.queued = e.queued[1:]
		e.take(c)
	}
}

// indicate sends an unsolicited result code, or keeps it while a command or a
// prompt holds the line (3GPP TS 27.005 §3.4.1, mode 2).
func (e *Emulator) indicate(lines ...string) {
	if e.busy || e.prompt > 0 || e.cnmi[0] == 0 {
		if e.cnmi[0] != 1 && len(e.held) < 100 {
			e.held = append(e.held, strings.Join(lines, "\n"))
		}
		return
	}
	e.write(e.renderInfo(answer{lines: lines}))
}

func (e *Emulator) flushHeld() {
	if e.cnmi[0] == 0 {
		return
	}
	for _, h := range e.held {
		e.write(e.renderInfo(answer{lines: strings.Split(h, "\n")}))
	}
	e.held = nil
}

func (e *Emulator) render(a answer) string { return e.renderInfo(a) + e.renderFinal(a) }

// lineEnds returns what stands before and behind a line in the dialect.
func (e *Emulator) lineEnds() (before, behind string) {
	switch e.dialect {
	case "lf":
		return "\n", "\n"
	case "cr":
		return "\r", "\r"
	case "blank":
		return "\r\n\r\n", "\r\n\r\n"
	case "bare":
		return "", "\r\n"
	}
	return "\r\n", "\r\n"
}

func (e *Emulator) renderInfo(a answer) string {
	if a.final == "" && len(a.lines) == 0 {
		if e.prompt > 0 {
			before, _ := e.lineEnds()
			return before + "> "
		}
		return ""
	}
	if len(a.lines) == 0 {
		return ""
	}
	before, behind := e.lineEnds()
	if !e.verbose {
		before = ""
	}
	var b strings.Builder
	b.WriteString(before)
	for _, l := range a.lines {
		b.WriteString(l)
		b.WriteString(behind)
	}
	if a.final == "" && e.prompt > 0 {
		b.WriteString(before + "> ")
	}
	return b.String()
}

func (e *Emulator) renderFinal(a answer) string {
	if a.final == "" || e.quiet {
		return ""
	}
	before, behind := e.lineEnds()
	if e.verbose {
		return before + a.final + behind
	}
	switch a.final { // V.250 §6.3.6
	case "OK":
		return "0\r"
	case "ERROR":
		return "4\r"
	case "NO CARRIER":
		return "3\r"
	}
	return before + a.final + behind
}
