package port

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// exclusive asks whether the terminal is in exclusive mode.
func exclusive(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCGEXCL) }

// tree makes a sysfs with a stick of two ports, a board with one and a UART.
func tree(t *testing.T) string {
	t.Helper()
	sys := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(sys, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(tty, to string) {
		t.Helper()
		dir := filepath.Join(sys, "class/tty", tty)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(sys, to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(sys, to), filepath.Join(dir, "device")); err != nil {
			t.Fatal(err)
		}
	}
	put("devices/usb1/1-1/1-1.2/idVendor", "12d1")
	put("devices/usb1/1-1/1-1.2/idProduct", "1001")
	put("devices/usb1/1-1/1-1.2/product", "HUAWEI Mobile")
	put("devices/usb1/1-1/1-1.2/1-1.2:1.0/bInterfaceNumber", "00")
	put("devices/usb1/1-1/1-1.2/1-1.2:1.2/bInterfaceNumber", "02")
	put("devices/usb1/1-3/idVendor", "1e2d")
	put("devices/usb1/1-3/idProduct", "0053")
	put("devices/usb1/1-3/1-3:1.0/bInterfaceNumber", "0a")
	link("ttyUSB5", "devices/usb1/1-1/1-1.2/1-1.2:1.0/ttyUSB5")
	link("ttyUSB3", "devices/usb1/1-1/1-1.2/1-1.2:1.2/ttyUSB3")
	link("ttyACM0", "devices/usb1/1-3/1-3:1.0")
	link("ttyAMA0", "devices/platform/uart")
	// One vanished between listing and looking.
	if err := os.MkdirAll(filepath.Join(sys, "class/tty/ttyUSB9"), 0o755); err != nil {
		t.Fatal(err)
	}
	return sys
}

func TestFind(t *testing.T) {
	sys := tree(t)
	got, err := (System{Sys: sys}).Find()
	if err != nil {
		t.Fatal(err)
	}
	want := []Candidate{
		{Path: "/dev/ttyUSB5", USBPath: "1-1.2", Interface: 0, VID: "12d1", PID: "1001", Product: "HUAWEI Mobile"},
		{Path: "/dev/ttyUSB3", USBPath: "1-1.2", Interface: 2, VID: "12d1", PID: "1001", Product: "HUAWEI Mobile"},
		{Path: "/dev/ttyACM0", USBPath: "1-3", Interface: 10, VID: "1e2d", PID: "0053"},
	}
	if len(got) != len(want) {
		t.Fatalf("found %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if none, err := (System{Sys: t.TempDir()}).Find(); err != nil || len(none) != 0 {
		t.Errorf("without sysfs: %v, %v", none, err)
	}
}

func TestResolve(t *testing.T) {
	sys := tree(t)
	for device, want := range map[string][]string{
		"/dev/serial/by-id/x": {"/dev/serial/by-id/x"},
		"auto":                {"/dev/ttyUSB5", "/dev/ttyUSB3", "/dev/ttyACM0"},
		"usb:1-1.2":           {"/dev/ttyUSB5", "/dev/ttyUSB3"},
		"usb:1-1.2:2":         {"/dev/ttyUSB3"},
		"1E2D:0053":           {"/dev/ttyACM0"},
		"12d1:1001:0":         {"/dev/ttyUSB5"},
		"12d1:ffff":           nil,
	} {
		c, err := (System{Sys: sys}).Resolve(device)
		if err != nil {
			t.Errorf("%s: %v", device, err)
		}
		var got []string
		for _, c := range c {
			got = append(got, c.Path)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", device, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", device, got, want)
			}
		}
	}
	// A link of /dev/serial/by-id tells the same of the device as its tty.
	dev := t.TempDir()
	link := filepath.Join(dev, "by-id")
	if err := os.Symlink("ttyUSB3", link); err != nil {
		t.Fatal(err)
	}
	c, err := System{Sys: sys, Dev: dev}.Resolve(link)
	if err != nil || len(c) != 1 || c[0].Path != link || c[0].USBPath != "1-1.2" || c[0].Interface != 2 {
		t.Errorf("link: %+v, %v", c, err)
	}
	for _, bad := range []string{"", "ttyUSB0", "usb:", "1:2:3:4", "12d1:1001:x"} {
		if _, err := (System{Sys: sys}).Resolve(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
