package api

import (
	_ "embed"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"
)

// The page is put together by hand: one page does not pay for a template
// engine, whose use of reflection costs the binary more than a megabyte.

//go:embed page/style.css
var style string

// document builds HTML; what goes through text is escaped.
type document struct{ b strings.Builder }

func (d *document) raw(s string) *document { d.b.WriteString(s); return d }

func (d *document) text(a ...any) *document {
	d.b.WriteString(html.EscapeString(fmt.Sprint(a...)))
	return d
}

// row writes a table row of plain cells.
func (d *document) row(cells ...any) {
	d.raw("<tr>")
	for _, c := range cells {
		d.raw("<td>").text(c).raw("</td>")
	}
	d.raw("</tr>\n")
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// statusPage is what a person sees at /.
func statusPage(o Overview) []byte {
	var d document
	d.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>doorway: ")
	d.text(o.Domain).raw("</title>\n<style>\n").raw(style).raw("</style>\n</head>\n<body>\n<h1>").text(o.Domain).raw("</h1>\n")
	d.findings(o)
	d.raw("<h2>People</h2>\n<p>").text(o.Accounts, " accounts, ", o.Sessions, " connected clients.").raw("</p>\n")
	d.modems(o)
	d.raw("<h2>Text messages</h2>\n")
	if len(o.Queue) == 0 {
		d.raw("<p>None yet.</p>\n")
	} else {
		d.raw("<table>\n<tr><th>State</th><th>Number</th></tr>\n")
		for _, state := range slices.Sorted(maps.Keys(o.Queue)) {
			d.row(state, o.Queue[state])
		}
		d.raw("</table>\n")
	}
	d.raw("<h2>This box</h2>\n<p>doorway ").text(o.Version, ", running since ", stamp(o.Started), ".")
	if o.CAFingerprint != "" {
		d.raw(" Its <a href=\"/ca.pem\">CA certificate</a> has the SHA-256 fingerprint <code>").text(o.CAFingerprint).raw("</code>.")
	}
	return []byte(d.raw("</p>\n</body>\n</html>\n").b.String())
}

func (d *document) findings(o Overview) {
	if len(o.Findings) == 0 {
		d.raw("<p class=\"ok\">All is well.</p>\n")
		return
	}
	d.raw("<h2>What needs attention</h2>\n<table>\n")
	for _, f := range o.Findings {
		d.raw("<tr><td class=\"").text(f.Severity).raw("\">").text(f.Severity).raw("</td><td>").text(f.Text)
		d.raw("<br><small>").text(f.Name, ", since ", stamp(f.Since)).raw("</small></td></tr>\n")
	}
	d.raw("</table>\n")
}

func (d *document) modems(o Overview) {
	d.raw("<h2>Modems</h2>\n")
	if len(o.Modems) == 0 {
		d.raw("<p>No modem is configured.</p>\n")
		return
	}
	d.raw("<table>\n<tr><th>Modem</th><th>State</th><th>Signal</th><th></th></tr>\n")
	for _, m := range o.Modems {
		signal := ""
		if m.RSSI != 0 {
			signal = fmt.Sprintf("%d dBm", m.RSSI)
		}
		d.row(m.Name, m.State, signal, m.Text)
	}
	d.raw("</table>\n")
}
