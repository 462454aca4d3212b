// Package backup keeps copies of what must survive: backup files, their
// restore, and the nightly round that makes them, trims them, compacts the
// store and warns of what a person should know of it.
//
// A backup is one tar file: manifest.json, which a person can read, and
// state.db. It leaves out what is not in state.db: the certificate authority
// (data/ca, whose key would let a finder of the backup pose as the box), the
// API token, doorway.toml and the archive (archive.db), which may be dropped.
//
// Keeper.Run is the only goroutine, and its caller's.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"doorway/gateway/store"
)

// Names inside of a backup.
const (
	manifestName = "manifest.json"
	stateName    = "state.db"
	format       = 1
	maxManifest  = 64 << 10
)

// LeftOut says what a backup does not hold, for the person who makes one.
const LeftOut = "Not in it: the box's certificate authority (the folder ca), the API token, the archive (archive.db) and doorway.toml. Keep a copy of ca and doorway.toml in a safe place; without ca the clients must learn to trust the box anew."

// Info says who makes a backup.
type Info struct {
	Program string `json:"program"` // with its version
	Domain  string `json:"domain,omitempty"`
}

// Manifest is the first entry of a backup.
type Manifest struct {
	Format int `json:"format"`
	Info
	Time   time.Time `json:"time"` // of the copy
	Schema int       `json:"schema"`
	Files  []File    `json:"files"`
	Note   string    `json:"note"`
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// refused is an error with a sentence.
func refused(err error, format string, a ...any) error {
	return &store.Error{Text: fmt.Sprintf(format, a...), Err: err}
}

// Save packs a verified copy into a backup. The file appears under its name
// only when it is whole on disk and was read back; until then the old one of
// that name stays.
func Save(ctx context.Context, file string, c store.Copy, info Info) (Manifest, error) {
	m := Manifest{
		Format: format, Info: info, Time: c.At, Schema: c.Schema,
		Files: []File{{Name: stateName, Size: c.Size, SHA256: c.SHA256}}, Note: LeftOut,
	}
	tmp := file + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("make backup: %w", err)
	}
	err := pack(ctx, tmp, c.Path, m)
	if err == nil {
		_, err = Check(ctx, tmp)
	}
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		_ = os.Remove(tmp) // ignored: the first error is the one to tell
		return m, fmt.Errorf("make backup: %w", err)
	}
	return m, syncFolder(filepath.Dir(file))
}

func pack(ctx context.Context, file, copied string, m Manifest) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t := tar.NewWriter(store.Paced(ctx, f))
	about, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	about = append(about, '\n')
	if err := t.WriteHeader(header(manifestName, int64(len(about)), m.Time)); err != nil {
		return err
	}
	if _, err := t.Write(about); err != nil {
		return err
	}
	src, err := os.Open(copied)
	if err != nil {
		return err
	}
	if err = t.WriteHeader(header(stateName, m.Files[0].Size, m.Time)); err == nil {
		_, err = io.Copy(t, src)
	}
	if err := errors.Join(err, src.Close()); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return f.Sync()
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
}

// Check reads a whole backup and compares sizes and checksums.
func Check(ctx context.Context, file string) (Manifest, error) {
	return fromFile(ctx, file, io.Discard)
}

// fromFile reads a backup and writes its state.db to w. Until it returns nil
// nothing written is to be trusted.
func fromFile(ctx context.Context, file string, w io.Writer) (m Manifest, err error) {
	f, err := os.Open(file)
	if err != nil {
		return m, fmt.Errorf("read backup: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if m, err = read(ctx, f, w); err != nil {
		err = refused(fmt.Errorf("read backup %s: %w", file, err), "%s cannot be used: %v. Use another backup.", file, err)
	}
	return m, err
}

var errNoBackup = errors.New("it is no backup of doorway")

// read is fromFile for any reader.
func read(ctx context.Context, r io.Reader, w io.Writer) (m Manifest, err error) {
	t := tar.NewReader(r)
	if m, err = manifest(t); err != nil {
		return m, err
	}
	h, err := t.Next()
	if err != nil || h.Name != stateName || h.Size != m.Files[0].Size {
		return m, errors.New("it is damaged or cut short")
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, w), &interruptible{ctx, t})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return m, errors.New("it is cut short")
	}
	if err != nil {
		return m, err
	}
	if n != m.Files[0].Size || hex.EncodeToString(sum.Sum(nil)) != m.Files[0].SHA256 {
		return m, errors.New("it is damaged: the checksum is wrong")
	}
	return m, nil
}

// manifest reads the first entry.
func manifest(t *tar.Reader) (m Manifest, err error) {
	h, err := t.Next()
	if err != nil || h.Name != manifestName || h.Size > maxManifest {
		return m, errNoBackup
	}
	about, err := io.ReadAll(io.LimitReader(t, maxManifest))
	if err != nil {
		return m, fmt.Errorf("it is cut short (%w)", err)
	}
	if err := json.Unmarshal(about, &m); err != nil {
		return m, fmt.Errorf("its %s is damaged (%w)", manifestName, err)
	}
	if m.Format != format {
		return m, fmt.Errorf("it has format %d, which this version does not know", m.Format)
	}
	if len(m.Files) != 1 || m.Files[0].Name != stateName {
		return m, fmt.Errorf("its %s is damaged", manifestName)
	}
	return m, nil
}

// interruptible is a reader that ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(b)
}

// Restored tells what a restore did.
type Restored struct {
	Manifest
	Kept string `json:"kept,omitempty"` // where the state.db lies that was there before
}

// Restore puts a backup's state.db into a data folder that no doorway runs in
// (store.ErrLocked). Everything is verified before anything is replaced, and
// what is replaced is kept beside it.
func Restore(ctx context.Context, dir, file string) (r Restored, err error) {
	if r.Manifest, err = Check(ctx, file); err != nil {
		return r, err
	}
	r.Kept, err = store.Install(dir, func(w io.Writer) error {
		_, err := fromFile(ctx, file, w)
		return err
	})
	if errors.Is(err, store.ErrDamaged) {
		err = refused(err, "%s cannot be used: the data in it is damaged (%v). Use another backup.", file, err)
	}
	return r, err
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Peek reads the manifest of a backup and nothing else.
func Peek(file string) (m Manifest, err error) {
	f, err := os.Open(file)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return manifest(tar.NewReader(f))
}
