package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"doorway/gateway/control"
	"doorway/modem"
)

func runModemList(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("modem list")
	t.flags(fs)
	if _, err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	list, err := modemStatus(ctx, &t, "")
	if err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "No modem is configured. Add a section [[modem]] with device = \"auto\" to doorway.toml.")
	}
	for _, m := range list {
		fmt.Fprintf(a.out, "%-10s %-12s %-28s %s\n", m.Name, m.State, m.Device, strings.TrimSpace(m.Manufacturer+" "+m.Model))
	}
	return nil
}

func runModemStatus(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("modem status")
	t.flags(fs)
	rest, err := parse(fs, args, 0, 1)
	if err != nil {
		return err
	}
	name := ""
	if len(rest) == 1 {
		name = rest[0]
	}
	list, err := modemStatus(ctx, &t, name)
	if err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "No modem is configured. Add a section [[modem]] with device = \"auto\" to doorway.toml.")
	}
	for i, m := range list {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		printModem(a.out, m)
	}
	return nil
}

func modemStatus(ctx context.Context, t *target, name string) ([]modem.Status, error) {
	var list []modem.Status
	err := t.call(ctx, "modem.status", control.ModemName{Name: name}, &list)
	return list, err
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
	row("SIM", m.ICCID)
	row("operator", strings.TrimSpace(m.Operator+" "+m.Registration))
	if m.RSSI != 0 {
		row("signal", fmt.Sprintf("%d dBm", m.RSSI))
	}
	row("SMS centre", m.SMSC)
	if m.StorageSize > 0 {
		row("storage", fmt.Sprintf("%d of %d used", m.StorageUsed, m.StorageSize))
	}
}
