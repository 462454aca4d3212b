package api

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/token"
)

// What docs/api.md says of errors, scopes and metrics is all there is.
func TestDocumentation(t *testing.T) {
	raw, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	_, errors, _ := strings.Cut(doc, "## Errors")
	known := map[string]string{} // slug → statuses of its line
	for _, line := range strings.Split(errors, "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cells[2], -1) {
				known[m[1]] = cells[1]
			}
		}
	}
	for _, k := range kinds {
		if !strings.Contains(known[k.slug], fmt.Sprint(k.status)) {
			t.Errorf("%d %s is not documented so: %q", k.status, k.slug, known[k.slug])
		}
		delete(known, k.slug)
	}
	if len(known) > 0 {
		t.Errorf("documented, and nowhere: %v", known)
	}
	for _, s := range token.Scopes {
		if !strings.Contains(doc, "| `"+s+"` |") {
			t.Errorf("the scope %s is not documented", s)
		}
	}
	o := example()
	o.Usage = []ModemUsage{{Modem: "gsm0"}}
	o.Hooks = o.Queue
	_, text := get(t, server(t, o).URL+"/metrics", "")
	for _, m := range regexp.MustCompile("doorway_[a-z_]+").FindAllString(errors, -1) {
		if !strings.Contains(text, m) {
			t.Errorf("there is no metric %s", m)
		}
	}
}

// The bodies that are read have the fields that openapi.json names, and no others.
func TestRequestsOfOpenAPI(t *testing.T) {
	s := loadSpec(t)
	schemas := s.doc["components"].(map[string]any)["schemas"].(map[string]any)
	for name, v := range map[string]any{"SendRequest": sendRequest{}, "HookRequest": hookRequest{}} {
		var fields []string
		for f := range reflect.TypeOf(v).Fields() {
			fields = append(fields, f.Tag.Get("json"))
		}
		slices.Sort(fields)
		schema := s.at(schemas[name])
		if documented := slices.Sorted(maps.Keys(schema["properties"].(map[string]any))); !slices.Equal(fields, documented) || schema["additionalProperties"] != false {
			t.Errorf("%s has %v, documented are %v", name, fields, documented)
		}
	}
}
