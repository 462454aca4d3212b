package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
)

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// peerLine is how a test says against whom it ran: t.Log("peer: slixmpp 1.8.3").
var peerLine = regexp.MustCompile(`_test\.go:\d+: peer: (.+)$`)

// test runs every test and prints the packages, the failures with their
// output, the peers that ran and the tests that were skipped.
func test(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1", "-timeout=20m"}, append(args, "./...")...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	var passed, failed, skipped int
	ran := map[string]int{}
	var skips []string
	output := map[string][]string{}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(lines.Text()) // a build failure speaks plain text
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			output[key] = append(output[key], e.Output)
			if m := peerLine.FindStringSubmatch(strings.TrimRight(e.Output, "\n")); m != nil {
				ran[m[1]]++
			}
		case "pass", "fail", "skip":
			if e.Test == "" {
				fmt.Printf("%-4s %-40s %6.1f s\n", map[string]string{"pass": "ok", "fail": "FAIL", "skip": "-"}[e.Action], e.Package, e.Elapsed)
				if e.Action == "fail" {
					fmt.Print(strings.Join(output[key], ""))
				}
				delete(output, key)
				continue
			}
			switch e.Action {
			case "pass":
				passed++
			case "skip":
				skipped++
				skips = append(skips, fmt.Sprintf("%s: %s", key, reason(output[key])))
			case "fail":
				failed++
				fmt.Printf("FAIL %s\n%s", key, strings.Join(output[key], ""))
			}
			delete(output, key)
		case "build-output":
			fmt.Print(e.Output)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read go test: %w", err)
	}
	err = cmd.Wait()
	fmt.Println("\npeers that ran:")
	names := make([]string, 0, len(ran))
	for n := range ran {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Printf("  %s (%d tests)\n", n, ran[n])
	}
	if len(names) == 0 {
		fmt.Println("  none")
	}
	if len(skips) > 0 {
		fmt.Println("skipped:")
		for _, s := range skips {
			fmt.Println("  " + s)
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// reason is what a skipped test said last.
func reason(out []string) string {
	for i := len(out) - 1; i >= 0; i-- {
		s := strings.TrimSpace(out[i])
		if s != "" && !strings.HasPrefix(s, "---") && !strings.HasPrefix(s, "===") {
			return s
		}
	}
	return "no reason given"
}
