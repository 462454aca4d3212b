package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Problem is one fault with its place.
type Problem struct {
	File string
	Line int // 0 when the fault is something that is not there
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Error is what Load returns for a file that can be read but not used: every
// fault it found, in order of lines.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Load reads and checks a file. The error is a *Error, or one of the operating
// system when the file cannot be read.
func Load(file string) (*Config, error) {
	src, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration file %s; copy the sample doorway.toml there and set domain and data: %w", file, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(file, src)
}

// Parse is Load for text that is already in memory; file names it in faults,
// and relative paths in it are relative to that file's folder.
func Parse(file string, src []byte) (*Config, error) {
	c := defaults()
	c.File = file
	md, err := toml.NewDecoder(bytes.NewReader(src)).Decode(&c)
	if err != nil {
		return nil, &Error{[]Problem{syntaxProblem(file, err)}}
	}
	c.src = newSource(src)
	v := &validator{c: &c, src: c.src, md: md}
	v.unknown()
	v.check()
	if len(v.problems) > 0 {
		sortProblems(v.problems)
		return nil, &Error{v.problems}
	}
	c.Warnings = v.warnings
	return &c, nil
}

// Folder returns the data folder that a file names even when the file has
// faults; "" when that cannot be told.
func Folder(file string) string {
	var c Config
	if _, err := toml.DecodeFile(file, &c); err != nil || c.Data == "" {
		return "" // ignored: Load says what is wrong with the file
	}
	c.File = file
	return c.rel(c.Data)
}

func syntaxProblem(file string, err error) Problem {
	var pe toml.ParseError
	if errors.As(err, &pe) {
		text := pe.Message
		if text == "" {
			text = pe.Error()
		}
		if pe.LastKey != "" {
			text = fmt.Sprintf("%s (near %q)", text, pe.LastKey)
		}
		return Problem{file, pe.Position.Line, text}
	}
	text := strings.TrimPrefix(err.Error(), "toml: ")
	if m := typeFault.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1]) // ignored: the pattern has digits only
		if k := kindFault.FindStringSubmatch(m[3]); k != nil && kinds[k[2]] != "" {
			return Problem{file, line, fmt.Sprintf("%s has the wrong kind of value: write %s", m[2], kinds[k[2]])}
		}
		return Problem{file, line, fmt.Sprintf("%s has a value of the wrong type (%s): see the commented sample doorway.toml", m[2], m[3])}
	}
	return Problem{file, 0, text}
}

// typeFault is the decoder's message for a value of a type that does not fit.
var typeFault = regexp.MustCompile(`^line (\d+) \(last key "([^"]*)"\): (.*)$`)

// kindFault is the part of it that names both types.
var kindFault = regexp.MustCompile(`TOML value has type (\w+); destination has type (\w+)`)

// kinds says how a value of a type is written.
var kinds = map[string]string{
	"string":  `it in quotes, as in "text"`,
	"boolean": "true or false, without quotes",
	"integer": "a number, without quotes",
	"slice":   `a list, as in ["one", "two"]`,
}

// rel resolves a path written in the file.
func (c *Config) rel(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(c.File), path)
}
