package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"doorway/gateway/config"
	"doorway/xmpp"
	"doorway/xmpp/websocket"
)

func runCheck(_ context.Context, a *app, args []string) error {
	fs := newFlags("check")
	file := fs.String("config", "", "the doorway.toml to check")
	asJSON := fs.Bool("json", false, "print JSON")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	path, err := configFile(*file)
	if err != nil {
		return err
	}
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	if *asJSON {
		warnings := []string{}
		for _, w := range c.Warnings {
			warnings = append(warnings, w.String())
		}
		return a.printJSON(map[string]any{"config": path, "ok": true, "warnings": warnings, "domain": c.Domain, "sms_domain": c.SMSDomain(), "specs": spoken(c)})
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(a.out, w)
	}
	describe(a.out, c)
	return nil
}

// configFile is --config, DOORWAY_CONFIG or the system's file.
func configFile(flag string) (string, error) {
	switch {
	case flag != "":
		return flag, nil
	case os.Getenv("DOORWAY_CONFIG") != "":
		return os.Getenv("DOORWAY_CONFIG"), nil
	case exists(systemConfig):
		return systemConfig, nil
	}
	return "", usagef("name the configuration with --config FILE")
}

// describe says in words what the configuration means.
func describe(w io.Writer, c *config.Config) {
	fmt.Fprintf(w, "%s is right.\n", c.File)
	fmt.Fprintf(w, "  domain     %s\n  data       %s\n", c.Domain, c.Data)
	fmt.Fprintf(w, "  clients    %s (STARTTLS), %s (direct TLS)\n", strings.Join(c.XMPP.Listen, ", "), strings.Join(c.XMPP.ListenTLS, ", "))
	if c.XMPP.Certificate == "" {
		fmt.Fprintln(w, "  TLS        the box's own CA issues the certificate")
	} else {
		fmt.Fprintf(w, "  TLS        %s\n", c.XMPP.Certificate)
	}
	if c.Backup.Keep > 0 {
		fmt.Fprintf(w, "  backups    %s at %s, %d are kept\n", c.Backup.Dir, c.Backup.At, c.Backup.Keep)
	}
	fmt.Fprintf(w, "  HTTP       %s\n", strings.Join(append(c.HTTP.Listen, c.HTTP.ListenTLS...), ", "))
	if len(c.Modems) == 0 {
		fmt.Fprintln(w, "  modems     none: there is chat but no SMS until a section [[modem]] is added")
	}
	for _, m := range c.Modems {
		there := "automatic"
		if m.Device != "auto" {
			there = "present"
			if !exists(m.Device) {
				there = "not there now; doorway waits for it"
			}
		}
		fmt.Fprintf(w, "  modem      %s on %s (%s)\n", m.Name, m.Device, there)
	}
	fmt.Fprintf(w, "  SMS        phones are NUMBER@%s\n", c.SMSDomain())
	fmt.Fprintf(w, "  rooms      are NAME@%s\n", c.MUCDomain())
	for _, s := range spoken(c) {
		fmt.Fprintf(w, "  serves     %-16s %s\n", strings.TrimSpace(s.Doc+" "+s.Version), s.Title)
	}
}

// spoken lists all that the server implements: its streams, then its modules.
func spoken(c *config.Config) []xmpp.Spec {
	return append([]xmpp.Spec{
		{Doc: "RFC 6120", Title: "XMPP Core: streams, TLS, SASL, stanzas"},
		{Doc: "RFC 7590", Title: "TLS in XMPP"},
		{Doc: "RFC 7622", Title: "XMPP addresses"},
		{Doc: "XEP-0198", Version: "1.6.3", Title: "Stream Management"},
		{Doc: "XEP-0227", Version: "1.1", Title: "Portable Import/Export Format for XMPP-IM Servers"},
		{Doc: "XEP-0368", Version: "1.1.0", Title: "SRV records for XMPP over TLS: direct TLS"},
	}, append(websocket.Specs(), specs(newModules(c, groups{}, house{}).list)...)...)
}

// specs lists what the modules implement.
func specs(list []xmpp.Module) []xmpp.Spec {
	var all []xmpp.Spec
	for _, m := range list {
		all = append(all, m.Info().Specs...)
	}
	return all
}
