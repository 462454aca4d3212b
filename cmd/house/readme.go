package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The table of specifications stands between these lines of README.md.
const (
	tableBegin = "<!-- specifications: written by `make readme` from what the modules say of themselves -->"
	tableEnd   = "<!-- end of specifications -->"
)

// spec is a specification as `doorway check --json` names it.
type spec struct{ Doc, Version, Title string }

// readme writes the table of specifications into README.md; with -check it
// fails when the table there is another one.
func readme(ctx context.Context, args []string) error {
	out, err := output(ctx, "go", "run", "./cmd/doorway", "check", "--json", "--config", "configs/doorway.toml")
	if err != nil {
		return err
	}
	var answer struct{ Specs []spec }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("read what doorway check says: %w", err)
	}
	was, err := os.ReadFile("README.md")
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(was), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		return fmt.Errorf("README.md has no lines %q and %q", tableBegin, tableEnd)
	}
	now := before + tableBegin + "\n" + table(answer.Specs) + tableEnd + after
	switch {
	case now == string(was):
		return nil
	case slices.Contains(args, "-check"):
		return fmt.Errorf("the table of specifications in README.md is not what the modules say: run `make readme`")
	}
	return os.WriteFile("README.md", []byte(now), 0o644)
}

// table has a row for each specification: RFCs first, then XEPs, by number.
func table(specs []spec) string {
	slices.SortStableFunc(specs, func(a, b spec) int {
		return cmp.Or(strings.Compare(a.Doc[:3], b.Doc[:3]), strings.Compare(a.Doc, b.Doc))
	})
	specs = slices.CompactFunc(specs, func(a, b spec) bool { return a.Doc == b.Doc })
	var b strings.Builder
	b.WriteString("| specification | version | |\n|---|---|---|\n")
	for _, s := range specs {
		name := s.Doc
		if n, ok := strings.CutPrefix(s.Doc, "XEP-"); ok {
			name = fmt.Sprintf("[%s](https://xmpp.org/extensions/xep-%s.html)", s.Doc, n)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, s.Version, s.Title)
	}
	return b.String()
}
