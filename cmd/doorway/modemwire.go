package main

import (
	"fmt"

	"doorway/gateway/config"
	"doorway/gateway/health"
	"doorway/gateway/store"
	"doorway/modem"
)

// modemConfig is the configuration of a modem's driver.
func (s *server) modemConfig(m config.Modem, claims *modem.Claims) modem.Config {
	c := modem.Config{
		Name: m.Name, Device: m.Device, Baud: m.Baud, PIN: m.PIN(),
		Guard: pinGuard{s.store.Table("pin_attempts")}, Log: s.log, LockDir: s.cfg.Data,
		Memory: deviceMemory{s.store.Table("settings"), m.Name}, Claims: claims,
		Roaming: modem.Roaming(m.Roaming), HangUp: m.Calls == "hang-up", Power: m.PowerCommand,
	}
	if m.CreditCode != "" {
		pattern, every := m.CreditRule()
		c.Credit = &modem.Credit{Code: m.CreditCode, Pattern: pattern, Low: m.CreditLow, Every: every}
	}
	return c
}

// deviceMemory keeps which device a modem with device "auto" was.
type deviceMemory struct {
	table *store.Table
	name  string
}

type deviceRecord struct {
	V int `json:"v"`
	modem.Device
}

// Recall reads it; a record that cannot be read is none.
func (m deviceMemory) Recall() (modem.Device, bool) {
	var r deviceRecord
	ok, err := m.table.Get("modem/"+m.name, &r)
	return r.Device, ok && err == nil
}

// Remember writes it down.
func (m deviceMemory) Remember(d modem.Device) error {
	if err := m.table.Write(map[string]any{"modem/" + m.name: deviceRecord{V: 1, Device: d}}); err != nil {
		return fmt.Errorf("remember modem %s: %w", m.name, err)
	}
	return nil
}

// modemFindings are what people should know about a modem: its state, what is
// done about it, and what is not as it should be although it works.
func modemFindings(m modem.Status) []health.Finding {
	var out []health.Finding
	name := "modem " + m.Name
	if m.State != modem.Ready && m.State != modem.Starting {
		out = append(out, health.Finding{Name: name, Severity: health.Warning, Text: m.Text, Since: m.Since})
	}
	if r := m.Recovery; r != nil && (r.Step != modem.StepResync && r.Step != modem.StepReopen || r.Tries > 2) {
		out = append(out, health.Finding{Name: name + " recovery", Severity: health.Warning, Text: recoveryText(m), Since: r.At})
	}
	for i, note := range m.Notes {
		f := health.Finding{Name: name + " note", Severity: health.Warning, Text: note, Since: m.Since}
		if i > 0 {
			f.Name = fmt.Sprintf("%s note %d", name, i+1)
		}
		out = append(out, f)
	}
	return out
}

// stepWords say what a step of recovery was.
var stepWords = map[modem.Step]string{
	modem.StepResync:  "its answers were put in step with the commands again",
	modem.StepReopen:  "its port was opened anew",
	modem.StepRadio:   "its radio was switched off and on",
	modem.StepRestart: "it was restarted by a command",
	modem.StepPower:   "its power was switched off and on",
}

// recoveryText is a sentence about a modem that is being helped.
func recoveryText(m modem.Status) string {
	r := m.Recovery
	text := fmt.Sprintf("Modem %s did not work (%s): %s at %s", m.Name, r.Why, stepWords[r.Step], r.At.Local().Format("15:04:05"))
	if r.Tries > 1 {
		text += fmt.Sprintf(", step %d since it last worked", r.Tries)
	}
	if r.Hard > 0 {
		text += fmt.Sprintf("; %d of %d restarts of a day are used up", r.Hard, modem.HardPerDay)
	}
	if !r.Next.IsZero() {
		text += "; the next step is not before " + r.Next.Local().Format("15:04:05")
	}
	return text + "."
}
