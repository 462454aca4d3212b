package modem

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// powerLimit is how long the command of Config.Power may take.
const powerLimit = time.Minute

// cyclePower runs the command that switches the modem off and on, and passes
// the time meanwhile. It is given in its environment what it may need:
//
//	DOORWAY_MODEM     the modem's name, gsm0
//	DOORWAY_DEVICE    the port used last, /dev/ttyUSB2
//	DOORWAY_USB_PATH  bus and ports, 1-1.2; empty for a serial port of the board
//	DOORWAY_WHY       the reason, in words
//
// The command returns when the power is on again; the device may take its time
// to come back. The port is closed while it runs.
func (d *Driver) cyclePower(ctx context.Context) {
	d.setState(Starting, textPowerCycle)
	run, cancel := context.WithTimeout(ctx, powerLimit)
	defer cancel()
	cmd := exec.CommandContext(run, d.cfg.Power[0], d.cfg.Power[1:]...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	both := &capped{b: &out} // one value: then one goroutine writes to it
	cmd.Stdout, cmd.Stderr = both, both
	cmd.Env = append(os.Environ(), "DOORWAY_MODEM="+d.cfg.Name, "DOORWAY_DEVICE="+d.Status().Device,
		"DOORWAY_USB_PATH="+d.last.USBPath, "DOORWAY_WHY="+d.ladder.last.Why)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }() // awaited below
	for {
		d.setBusy(time.Now().Add(time.Second))
		select {
		case err := <-ended:
			if err != nil {
				d.log.Error("modem: the power command does not work", "command", d.cfg.Power[0], "err", err, "said", strings.TrimSpace(out.String()))
				d.note(notePowerCommand, fmt.Sprintf(textPowerFails, d.cfg.Name, err))
				return
			}
			d.note(notePowerCommand, "")
			return
		default:
			d.without(ctx, 50*time.Millisecond)
		}
	}
}

// capped keeps the first kilobyte of what a command says.
type capped struct{ b *bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := 1024 - c.b.Len(); room > 0 {
		c.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
