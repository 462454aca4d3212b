package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// floorEnv tells the test's binary that it is to write and do nothing else: the
// number of clients it has.
const floorEnv = "DOORWAY_FLOOR"

// floorBytes is about a presence in a TLS record.
const floorBytes = 250

// floor writes to as many clients as it is told to, once for each line that it reads.
func floor(clients string) error {
	var n int
	if _, err := fmt.Sscan(clients, &n); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	list := make([]net.Conn, n)
	for i := range list {
		if list[i], err = l.Accept(); err != nil {
			return err
		}
	}
	data := bytes.Repeat([]byte("x"), floorBytes)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("written") {
		for _, c := range list {
			if _, err := c.Write(data); err != nil {
				return err
			}
		}
	}
	return nil
}

// floorCost is the CPU time in µs of a write to one of n clients in this
// process, by a process that does nothing else: what no server is below.
func floorCost(b *testing.B, n, rounds int) float64 {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floorEnv+"="+fmt.Sprint(n))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			b.Fatal("the writer is gone")
		}
		return lines.Text()
	}
	addr := next()
	var readers sync.WaitGroup
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		readers.Go(func() {
			defer c.Close()
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{c}) // ignored: it ends when the writer does
		})
	}
	wait(b, time.Second)
	before := cpuOf(b, cmd.Process.Pid)
	for range rounds {
		fmt.Fprintln(in)
		next()
	}
	cost := cpuOf(b, cmd.Process.Pid) - before
	_ = in.Close() // ignored: it ends the writer
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
	readers.Wait()
	return float64(cost.Nanoseconds()) / 1000 / float64(n*rounds)
}
