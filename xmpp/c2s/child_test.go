package c2s

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/sasl"
)

// The benchmarks run the server in a process of its own, so that its memory
// and its CPU time can be told from the clients'. It is this test binary with
// childEnv set; it prints one line of JSON and answers commands on stdin.
const childEnv = "DOORWAY_C2S_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := childMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// ready is what the child prints first.
type ready struct{ Plain, Direct, Bare, Cert string }

func childMain() error {
	if err := manyFiles(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" { // as cmd/doorway does
		PaceCollector()
	}
	p, err := newPeople()
	if err != nil {
		return err
	}
	r := router.New(router.Config{Domain: home, Accounts: p, Store: &shelf{}, Log: slog.New(slog.DiscardHandler)})
	subs := roster.New(nil)
	if err := r.Load([]xmpp.Module{subs, presence.New(subs)}...); err != nil {
		return err
	}
	cert, err := makeCert()
	if err != nil {
		return err
	}
	conf := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }}
	srv := New(Config{
		Domain: home, Router: r, TLS: conf,
		SASL:   sasl.NewServer(sasl.Config{Credentials: p, Domain: home, Plaintext: true}),
		Limits: Limits{StanzaRate: -1, ByteRate: -1, Queue: 64 << 20, Trim: time.Second},
	})
	var l [3]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(ctx, l[0], false) }) // ignored: the parent notices
	wg.Go(func() { _ = srv.Serve(ctx, l[1], true) })
	wg.Go(func() { bare(l[2], conf) })
	defer wg.Wait()
	defer func() { cancel(); l[2].Close() }()
	if file := os.Getenv("DOORWAY_C2S_PROFILE"); file != "" { // a CPU profile of the server alone
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	out := json.NewEncoder(os.Stdout)
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := out.Encode(ready{l[0].Addr().String(), l[1].Addr().String(), l[2].Addr().String(), string(pemCert)}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "rss":
			fmt.Println(rss())
		case "cpu":
			fmt.Println(cpu().Nanoseconds())
		case "conns":
			fmt.Println(srv.Connections())
		}
	}
	return nil
}

// bare is the comparison: crypto/tls alone, which sends back what it gets.
func bare(l net.Listener, conf *tls.Config) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			t := tls.Server(c, conf)
			if t.Handshake() == nil {
				_, _ = io.CopyBuffer(t, t, make([]byte, 512)) // ignored: the client ends it
			}
		}()
	}
}

// rss is VmRSS in KiB.
func rss() int {
	b, _ := os.ReadFile("/proc/self/status") // ignored: 0 is told then
	_, s, _ := strings.Cut(string(b), "VmRSS:")
	f := strings.Fields(s)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f[0]) // ignored: as above
	return n
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // ignored: it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// manyFiles raises the limit of open files as far as it goes.
func manyFiles() error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	r.Cur = r.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r)
}

// child is the server's process as the benchmark sees it.
type child struct {
	*house
	b    testing.TB
	in   io.WriteCloser
	out  *bufio.Scanner
	bare string
}

func startChild(b testing.TB) *child {
	b.Helper()
	if err := manyFiles(); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
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
	c := &child{b: b, in: in, out: bufio.NewScanner(out)}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	var r ready
	if err := json.Unmarshal([]byte(c.line()), &r); err != nil {
		b.Fatal(err)
	}
	c.house = &house{t: b, plain: r.Plain, direct: r.Direct, roots: x509.NewCertPool()}
	c.bare = r.Bare
	c.roots.AppendCertsFromPEM([]byte(r.Cert))
	return c
}

func (c *child) line() string {
	c.b.Helper()
	if !c.out.Scan() {
		c.b.Fatal("the server's process has ended")
	}
	return c.out.Text()
}

func (c *child) ask(what string) int64 {
	c.b.Helper()
	if _, err := io.WriteString(c.in, what+"\n"); err != nil {
		c.b.Fatal(err)
	}
	n, err := strconv.ParseInt(c.line(), 10, 64)
	if err != nil {
		c.b.Fatal(err)
	}
	return n
}

// settled waits until the server has trimmed its memory by itself: the RSS
// has not changed for three seconds (Limits.Trim is one).
func (c *child) settled() int64 {
	c.b.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last, same := c.ask("rss"), 0
	for range 60 {
		<-tick.C
		now := c.ask("rss")
		if same++; now-last > 64 || last-now > 64 {
			last, same = now, 0
		}
		if same == 6 {
			return now
		}
	}
	c.b.Fatal("the server's memory does not settle")
	return 0
}
