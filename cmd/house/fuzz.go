package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// fuzz runs every fuzz target in turn; the first crasher ends it. Its input
// lies in testdata/fuzz then and becomes a seed.
func fuzz(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	limit := fs.String("time", "30s", "for each target")
	if err := fs.Parse(args); err != nil {
		return err
	}
	list, err := output(ctx, "go", "list", "./...")
	if err != nil {
		return err
	}
	n := 0
	for _, pkg := range strings.Fields(list) {
		names, err := output(ctx, "go", "test", "-list", "^Fuzz", pkg)
		if err != nil {
			return err
		}
		for _, name := range strings.Fields(names) {
			if !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			n++
			fmt.Printf("== %s %s\n", pkg, name)
			if err := loud(ctx, nil, "go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", *limit, "-fuzzminimizetime", "1x", pkg); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%d fuzz targets ran %s each\n", n, *limit)
	return nil
}
