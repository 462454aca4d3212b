package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// npmPackages are what the tests use of npm: one client in a browser, and what
// drives the browser. Neither has dependencies, and nothing of them runs while
// it is installed. The hashes are those of the registry.
var npmPackages = []npmPackage{
	{"converse.js", "14.0.0", "LFUg030jDalV47vI/vyVPqYPZfJYXFbubq8v0cFDe2zXNeeGEk3Up0Fj/WTzT6t+6do+cAIToy73eAj7RNDj2Q==", "dist/"},
	{"playwright-core", "1.65.1", "hqPpz7blSMPxWVdoeE1yiBSzXsKiVOd2k+kjCvmUywD2GPO2Dd9HfcWnq9NN0GHbNZDFgZ9JfBFr+X5/BLo0qw==", ""},
}

type npmPackage struct {
	name, version string
	hash          string // SHA-512 of the archive, in base64
	part          string // what is wanted of it; "" for all
}

// npm prints the folder of a package, and with no name installs what is missing.
func npm(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return npmInstall(ctx)
	}
	for _, p := range npmPackages {
		if p.name != args[0] {
			continue
		}
		dir, err := p.dir()
		if err != nil {
			return err
		}
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("the npm package %s %s is missing: `go run ./cmd/house npm` installs it", p.name, p.version)
		}
		fmt.Println(dir)
		return nil
	}
	return fmt.Errorf("no test uses an npm package %q", args[0])
}

// dir is where a package is kept between runs.
func (p npmPackage) dir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home folder
	}
	return filepath.Abs(filepath.Join(cache, "doorway-tests", p.name+"-"+p.version))
}

func npmInstall(ctx context.Context) error {
	for _, p := range npmPackages {
		dir, err := p.dir()
		if err != nil {
			return err
		}
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		fmt.Printf("peers: installing %s %s from npm\n", p.name, p.version)
		if err := p.install(ctx, dir); err != nil {
			return fmt.Errorf("install %s %s: %w", p.name, p.version, err)
		}
	}
	fmt.Println("peers: all npm packages are installed")
	return nil
}

// install fetches a package, compares its hash and unpacks it.
func (p npmPackage) install(ctx context.Context, dir string) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", tmp, p.name+"@"+p.version)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w\n%s", err, out)
	}
	archive, err := os.ReadFile(filepath.Join(tmp, p.name+"-"+p.version+".tgz"))
	if err != nil {
		return err
	}
	sum := sha512.Sum512(archive)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != p.hash {
		return fmt.Errorf("its SHA-512 is %s, not %s", got, p.hash)
	}
	whole := filepath.Join(tmp, "package")
	if err := unpack(archive, whole, p.part); err != nil {
		return err
	}
	return os.Rename(whole, dir)
}

// unpack writes the files of an npm archive, all below package/, into dir.
func unpack(archive []byte, dir, part string) error {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || !strings.HasPrefix(name, part) || strings.HasSuffix(name, ".map") {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			return err
		}
	}
}
