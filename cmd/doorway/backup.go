package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"doorway/gateway/backup"
	"doorway/gateway/control"
	"doorway/gateway/store"
)

// backupMade is what `doorway backup --json` prints.
type backupMade struct {
	File string `json:"file"`
	backup.Manifest
}

func runBackup(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("backup"), args, 1, 1)
	if err != nil {
		return err
	}
	dir, err := t.folder()
	if err != nil {
		return err
	}
	file := rest[0]
	if st, err := os.Stat(file); err == nil && st.IsDir() {
		file = filepath.Join(file, backup.Name(time.Now()))
	} else if err == nil {
		if _, err := backup.Peek(file); err != nil {
			return fmt.Errorf("%s is there already and is no backup of doorway; nothing was written. Choose another name, or a folder", file)
		}
	}
	c, domain, err := copyState(ctx, dir, file)
	if err != nil {
		return err
	}
	m, err := backup.Save(ctx, file, c, backup.Info{Program: "doorway " + version, Domain: domain})
	if err := errors.Join(err, os.Remove(c.Path)); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(backupMade{file, m})
	}
	fmt.Fprintf(a.out, "%s holds the state of %s (%s, schema %d), verified.\n%s\n",
		file, m.Time.Local().Format("2006-01-02 15:04:05"), bytesText(c.Size), m.Schema, backup.LeftOut)
	return nil
}

// copyState has the running server copy its state into the data folder, or,
// when none runs, copies it beside the backup that is to be made.
func copyState(ctx context.Context, dir, file string) (store.Copy, string, error) {
	var b control.BackupCopy
	err := control.Call(ctx, dir, "backup.copy", nil, &b)
	if errors.Is(err, control.ErrNotRunning) {
		tmp := file + store.CopySuffix
		if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
			return store.Copy{}, "", err
		}
		c, err := store.CopyStopped(ctx, dir, tmp)
		return c, "", err
	}
	if err != nil {
		return store.Copy{}, "", err
	}
	at, err := time.Parse(time.RFC3339, b.At)
	if err != nil {
		return store.Copy{}, "", fmt.Errorf("read doorway's answer: %w", err)
	}
	return store.Copy{Path: filepath.Join(dir, filepath.Base(b.Name)), At: at, Size: b.Size, SHA256: b.SHA256, Schema: b.Schema}, b.Domain, nil
}

// restored is what `doorway restore --json` prints.
type restored struct {
	File string `json:"file"`
	Dir  string `json:"dir"`
	backup.Restored
}

func runRestore(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("restore"), args, 1, 1)
	if err != nil {
		return err
	}
	dir, err := t.folder()
	if err != nil {
		return err
	}
	fresh := !exists(dir)
	r, err := backup.Restore(ctx, dir, rest[0])
	if err != nil {
		return err
	}
	if t.json {
		return a.printJSON(restored{rest[0], dir, r})
	}
	fmt.Fprintf(a.out, "%s now has the state of %s", dir, r.Time.Local().Format("2006-01-02 15:04:05"))
	if r.Domain != "" {
		fmt.Fprintf(a.out, " of %s", r.Domain)
	}
	fmt.Fprintln(a.out, ".")
	if r.Kept != "" {
		fmt.Fprintf(a.out, "What was there before is kept as %s; delete it when all is well.\n", r.Kept)
	}
	fmt.Fprintln(a.out, "Texts that waited at that time may have been sent since, so they are not sent by themselves: after the start `doorway sms list --state possibly-sent` shows them, and `doorway queue requeue ID` sends one.")
	fmt.Fprintln(a.out, "The certificate authority (the folder ca), the API token, the archive and doorway.toml are no part of a backup and stay as they are.")
	if fresh && os.Geteuid() == 0 {
		fmt.Fprintf(a.out, "%s is new and belongs to root: give it to the user that runs doorway, e.g. chown -R doorway: %s\n", dir, dir)
	}
	return nil
}

// bytesText is a size for people.
func bytesText(n int64) string {
	if n < 1<<20 {
		return strconv.FormatInt((n+1023)>>10, 10) + " KB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
}

// keeper makes the nightly round.
func (s *server) keeper() *backup.Keeper {
	hour, minute := s.cfg.Backup.Time()
	return backup.New(backup.Config{
		Store: s.store, Data: s.cfg.Data, Dir: s.cfg.Backup.Dir, Keep: s.cfg.Backup.Keep, Hour: hour, Minute: minute,
		Info: backup.Info{Program: "doorway " + version, Domain: s.cfg.Domain}, Health: s.health, Log: s.log,
	})
}

// copyForBackup answers backup.copy.
func (s *server) copyForBackup(ctx context.Context) (control.BackupCopy, error) {
	name := fmt.Sprintf("manual-%d%s", time.Now().UnixNano(), store.CopySuffix)
	c, err := s.store.Copy(ctx, filepath.Join(s.cfg.Data, name))
	if err != nil {
		return control.BackupCopy{}, err
	}
	s.log.Info("state copied for a backup", "comp", "backup", "size", c.Size)
	return control.BackupCopy{Name: name, At: c.At.Format(time.RFC3339), Size: c.Size, SHA256: c.SHA256, Schema: c.Schema, Domain: s.cfg.Domain}, nil
}
