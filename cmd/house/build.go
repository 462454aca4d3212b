package main

import (
	"context"
	"errors"
	"flag"
)

// hot are the packages in which the compiler may inline. Elsewhere calls cost
// next to nothing beside what they do, and inlining would take a tenth of the
// binary, which has to fit small boxes.
var hot = []string{
	"runtime/...", "internal/...", "crypto/...", "vendor/golang.org/x/crypto/...", "sync/...", "hash/...",
	"math/...", "strings", "bytes", "strconv", "unicode/...", "go.etcd.io/...",
	"doorway/xmpp/xmlstream", "doorway/xmpp/stanza", "doorway/xmpp/jid", "doorway/xmpp/sasl",
	"doorway/xmpp/router", "doorway/xmpp/c2s", "doorway/xmpp/archive", "doorway/xmpp/mod/roster",
	"doorway/xmpp/mod/presence", "doorway/xmpp/mod/offline", "doorway/xmpp/mod/muc", "doorway/gateway/people/shared",
}

// shipped are the arguments of go for the program as it is shipped: static,
// without paths of this machine, symbols or HTTP/2, which no client needs here.
func shipped(file, version string) []string {
	args := []string{"build", "-trimpath", "-tags", "nethttpomithttp2", "-gcflags=all=-l"}
	for _, p := range hot { // the last pattern that fits counts
		args = append(args, "-gcflags="+p+"=")
	}
	return append(args, "-ldflags", "-s -w -X main.version="+version, "-o", file, "doorway/cmd/doorway")
}

// build makes the program for this machine or another. The target is no
// environment variable, which would have this tool built for it too.
func build(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("build", flag.ContinueOnError)
	file := set.String("o", "bin/doorway", "where the program goes")
	version := set.String("version", "unknown", "what it says of itself")
	target := []*string{
		set.String("GOOS", "", "system to build for"),
		set.String("GOARCH", "", "processor to build for"),
		set.String("GOARM", "", "its version, for arm"),
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return errors.New("usage: house build [-o FILE] [-version V] [-GOOS OS] [-GOARCH ARCH] [-GOARM N]")
	}
	env := []string{"CGO_ENABLED=0"}
	for i, name := range []string{"GOOS", "GOARCH", "GOARM"} {
		if *target[i] != "" {
			env = append(env, name+"="+*target[i])
		}
	}
	return loud(ctx, env, "go", shipped(*file, *version)...)
}
