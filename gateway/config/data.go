package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// data is where doorway keeps its files: a folder, or nothing yet, on a file
// system that keeps files.
func (v *validator) data() {
	c := v.c
	if c.Data == "" {
		v.fault("data", `data is missing: write the folder for doorway's files, e.g. data = "/var/lib/doorway"`)
	}
	c.Data = c.rel(c.Data)
	if c.Data == "/" {
		v.fault("data", `data = "/" is the whole system, whose folder nobody else could read any more: write a folder of its own, e.g. data = "/var/lib/doorway"`)
		return
	}
	if st, err := os.Stat(c.Data); err == nil && !st.IsDir() {
		v.fault("data", `%s is not a folder: write the folder for doorway's files, e.g. data = "/var/lib/doorway"`, c.Data)
		return
	}
	if of := keepsNothing(c.Data); of != "" {
		v.fault("data", `%s is in %s, where the system shows its own state and keeps no files: write a folder on a disk, e.g. data = "/var/lib/doorway"`, c.Data, of)
	}
}

// keepsNothing looks at the file system that a path is on, or would be: "" if
// files can be made there, else the folder that shows what it is.
func keepsNothing(path string) string {
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err != nil && at != "/" {
			continue // it would be made
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(at, &fs); err == nil && slices.Contains(kernels, int64(fs.Type)) {
			return at
		}
		var dev unix.Stat_t
		if err := unix.Stat("/dev", &dev); err == nil && dev.Dev == st.Dev && strings.HasPrefix(at+"/", "/dev/") {
			return "/dev" // but not /dev/shm
		}
		return ""
	}
}

// kernels are the file systems in which no file can be made, by statfs(2).
var kernels = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
	unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC,
}
