package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"doorway/gateway/config"
	"doorway/gateway/control"
	"doorway/modem"
)

func runModemAT(ctx context.Context, a *app, args []string) error {
	var t target
	var req control.ModemAT
	fs := newFlags("modem at")
	fs.StringVar(&req.Name, "modem", "", "the modem's name, when there are several")
	fs.BoolVar(&req.Force, "force", false, "also what can delete, cost money or lock the SIM card")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	req.Line = rest[0]
	var answer modem.Answer
	if err := t.call(ctx, "modem.at", req, &answer); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(answer)
	}
	for _, line := range append(answer.Lines, answer.Final) {
		fmt.Fprintln(a.out, line)
	}
	if !answer.OK {
		return &control.Error{Text: "The modem refused the command."}
	}
	return nil
}

func runModemProbe(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("modem probe")
	device := fs.String("device", "", "look for this device instead of those in the configuration")
	if _, err := t.parse(fs, args, 0, 0); err != nil {
		return err
	}
	var list []modem.Found
	err := t.call(ctx, "modem.probe", struct{}{}, &list)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		list, err = probeAlone(ctx, &t, *device)
	case err == nil && *device != "":
		return &control.Error{Usage: true, Text: "--device is for a doorway that is stopped; the running one looks for what its configuration names."}
	}
	if err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "No serial device was found. Plug a modem in, wait ten seconds and try again; a modem on a serial port of the board needs its path as device in [[modem]].")
	}
	for _, f := range list {
		printFound(a, f)
	}
	return nil
}

func printFound(a *app, f modem.Found) {
	id := "-"
	if f.VID != "" {
		id = f.VID + ":" + f.PID
	}
	iface := ""
	if f.Interface >= 0 {
		iface = fmt.Sprintf(" interface %d", f.Interface)
	}
	fmt.Fprintf(a.out, "%s  %s%s  %s\n", f.Path, id, iface, f.Product)
	if f.Answers {
		sim := f.SIM
		if f.ICCID != "" {
			sim += " " + f.ICCID
		}
		fmt.Fprintf(a.out, "  model %s, IMEI %s, SIM %s\n", orDash(strings.TrimSpace(f.Manufacturer+" "+f.Model)), orDash(f.IMEI), orDash(sim))
	}
	fmt.Fprintf(a.out, "  %s\n", f.Why)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// probeAlone looks without a server: at the devices of the configuration when
// there is one, else at all.
func probeAlone(ctx context.Context, t *target, device string) ([]modem.Found, error) {
	c := modem.ScanConfig{Log: slog.New(slog.DiscardHandler), LockDir: os.TempDir()}
	if file := t.configFile(); file != "" {
		cfg, err := config.Load(file)
		if err != nil {
			return nil, err
		}
		c.Modems = scanModems(cfg)
		if exists(cfg.Data) {
			c.LockDir = cfg.Data
		}
	}
	if device != "" {
		c.Modems = []modem.ScanModem{{Name: "a modem", Device: device}}
	}
	return modem.Scan(ctx, c)
}

// configFile is the configuration that the flags, the environment or the
// system name; "" when there is none.
func (t *target) configFile() string {
	switch {
	case t.config != "":
		return t.config
	case t.dir != "":
		return ""
	case os.Getenv("DOORWAY_CONFIG") != "":
		return os.Getenv("DOORWAY_CONFIG")
	case exists(systemConfig):
		return systemConfig
	}
	return ""
}

func scanModems(cfg *config.Config) []modem.ScanModem {
	var list []modem.ScanModem
	for _, m := range cfg.Modems {
		list = append(list, modem.ScanModem{Name: m.Name, Device: m.Device, Baud: m.Baud})
	}
	return list
}

// scan looks at the serial devices beside the running drivers.
func (s *server) scan(ctx context.Context) ([]modem.Found, error) {
	list := scanModems(s.cfg)
	for i := range list {
		if i < len(s.modems) {
			st := s.modems[i].Status()
			list[i].Status = &st
		}
	}
	return modem.Scan(ctx, modem.ScanConfig{Modems: list, LockDir: s.cfg.Data, Log: s.log})
}
