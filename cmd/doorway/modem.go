package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"doorway/gateway/control"
	"doorway/modem"
)

func runModemList(ctx context.Context, a *app, args []string) error {
	return a.modems(ctx, "modem list", args, 0, func(list []modem.Status) {
		for _, m := range list {
			fmt.Fprintf(a.out, "%-10s %-12s %-28s %s\n", m.Name, m.State, m.Device, strings.TrimSpace(m.Manufacturer+" "+m.Model))
		}
	})
}

func runModemStatus(ctx context.Context, a *app, args []string) error {
	return a.modems(ctx, "modem status", args, 1, func(list []modem.Status) {
		for i, m := range list {
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			printModem(a.out, m)
		}
	})
}

// modems asks for all modems, or for one that is named where most allows it, and shows them.
func (a *app) modems(ctx context.Context, command string, args []string, most int, show func([]modem.Status)) error {
	var t target
	rest, err := t.parse(newFlags(command), args, 0, most)
	if err != nil {
		return err
	}
	name := ""
	if len(rest) == 1 {
		name = rest[0]
	}
	var list []modem.Status
	if err := t.call(ctx, "modem.status", control.ModemName{Name: name}, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "No modem is configured. Add a section [[modem]] with device = \"auto\" to doorway.toml.")
	}
	show(list)
	return nil
}

func printModem(w io.Writer, m modem.Status) {
	fmt.Fprintf(w, "%s: %s since %s\n  %s\n", m.Name, m.State, m.Since.Local().Format("2006-01-02 15:04:05"), m.Text)
	row := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-14s %s\n", label, value)
		}
	}
	row("device", m.Device)
	row("model", strings.TrimSpace(m.Manufacturer+" "+m.Model+" "+m.Firmware))
	row("IMEI", m.IMEI)
	row("known as", m.Family)
	row("stable name", m.Stable)
	row("SIM", m.ICCID)
	row("IMSI", m.IMSI)
	row("own number", m.Number)
	row("operator", strings.Join(strings.Fields(m.Operator+" "+m.Technology+" "+m.Registration), " "))
	if m.RSSI != 0 {
		row("signal", fmt.Sprintf("%d dBm", m.RSSI))
	}
	row("SMS centre", m.SMSC)
	if b := m.Credit; b != nil {
		row("credit", fmt.Sprintf("%s on %s", balanceText(*b), b.At.Local().Format("2006-01-02 15:04")))
	}
	if c := m.Clock; c != nil && c.Trusted {
		row("network time", fmt.Sprintf("%s, %s from this box", c.Network.Local().Format("15:04:05"), c.Offset.Round(time.Second)))
	}
	if m.Recovery != nil {
		row("recovery", recoveryText(m))
	}
	for _, note := range m.Notes {
		row("note", note)
	}
	if m.StorageSize > 0 {
		row("storage", fmt.Sprintf("%d of %d used", m.StorageUsed, m.StorageSize))
	}
}
