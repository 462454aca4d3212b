package transfer

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sort"
)

// maxNested is how deep files may include each other: main, host, user, and one more.
const maxNested = 4

// Map says which line of which file a line of a flattened file comes from.
type Map []segment

// segment begins at a line of the flattened file.
type segment struct {
	at   int
	file string
	line int
}

// Place names the place that a line comes from.
func (m Map) Place(line int) (file string, at int) {
	i := sort.Search(len(m), func(i int) bool { return m[i].at > line }) - 1
	if i < 0 {
		return "", line
	}
	return m[i].file, m[i].line + line - m[i].at
}

// Flatten writes a file of the format with everything in it that it includes
// (XEP-0227 §5): <xi:include/> with a relative href, as a child of the document,
// of a host or of a user. What stands deeper belongs to users and is not touched.
// Errors name file and line.
func Flatten(w io.Writer, path string) (Map, error) {
	f := &flattener{out: bufio.NewWriter(w), line: 1, fresh: true}
	if err := f.file(path, 0, nil); err != nil {
		return nil, err
	}
	return f.lines, f.out.Flush()
}

type flattener struct {
	out   *bufio.Writer
	line  int  // of the output
	fresh bool // nothing is in it yet
	lines Map
}

// file copies a file: all of it, or only its root element when it is included.
// around are the elements of the format that it stands in.
func (f *flattener) file(path string, nested int, around []xml.Name) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", path)
	}
	dec := xml.NewDecoder(io.NewSectionReader(in, 0, st.Size())) // copies read by place, too
	done, doneLine := int64(0), 1                                // how far it is copied
	copyTo := func(to int64, line int) error {
		if !f.fresh { // each piece begins a line, so that every line has one origin
			if _, err := io.WriteString(counter{f}, "\n"); err != nil {
				return err
			}
		}
		f.lines = append(f.lines, segment{f.line, path, doneLine})
		n, err := io.Copy(counter{f}, io.NewSectionReader(in, done, to-done))
		if err == nil && n < to-done {
			err = io.ErrUnexpectedEOF
		}
		done, doneLine = to, line
		return err
	}
	open := append([]xml.Name{}, around...)
	for {
		start := dec.InputOffset()
		line, _ := dec.InputPos()
		t, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF) && len(open) == len(around):
			if nested == 0 {
				return copyTo(st.Size(), 0)
			}
			return nil
		case err != nil:
			at, _ := dec.InputPos()
			return fmt.Errorf("%s:%d: %w", path, at, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if nested > 0 && len(open) == len(around) {
				done, doneLine = start, line // what is before the root stays behind
			}
			if href, ok := relative(&t); ok && outer(open) {
				if nested+1 >= maxNested {
					return fmt.Errorf("%s:%d: files include each other more than %d deep", path, line, maxNested-1)
				}
				if err := copyTo(start, line); err != nil {
					return err
				}
				if err := dec.Skip(); err != nil {
					return fmt.Errorf("%s:%d: %w", path, line, err)
				}
				if err := f.file(filepath.Join(filepath.Dir(path), href), nested+1, open); err != nil {
					return fmt.Errorf("%s:%d: included: %w", path, line, err)
				}
				done = dec.InputOffset()
				doneLine, _ = dec.InputPos()
				continue
			}
			open = append(open, t.Name)
		case xml.EndElement:
			open = open[:len(open)-1]
			if nested > 0 && len(open) == len(around) {
				at, _ := dec.InputPos()
				if err := copyTo(dec.InputOffset(), at); err != nil {
					return err
				}
			}
		case xml.Directive:
			return fmt.Errorf("%s:%d: a document type is not allowed here", path, line)
		}
	}
}

// outer reports a place where includes are followed.
func outer(open []xml.Name) bool {
	names := []string{"server-data", "host", "user"}
	if len(open) == 0 || len(open) > len(names) {
		return false
	}
	for i, n := range open {
		if n != (xml.Name{Space: space, Local: names[i]}) {
			return false
		}
	}
	return true
}

// relative is the href that must be followed (XEP-0227 §5), as a path.
func relative(t *xml.StartElement) (path string, ok bool) {
	if (t.Name != xml.Name{Space: spaceInclude, Local: "include"}) {
		return "", false
	}
	for _, a := range t.Attr {
		if a.Name.Space == "" && (a.Name.Local == "parse" || a.Name.Local == "xpointer") {
			return "", false
		}
	}
	u, err := url.Parse(attr(t, "href"))
	if err != nil || u.IsAbs() || u.Host != "" || u.Path == "" || u.Path[0] == '/' || u.Fragment != "" {
		return "", false
	}
	return filepath.FromSlash(u.Path), true
}

// counter counts lines as it writes.
type counter struct{ f *flattener }

func (c counter) Write(p []byte) (int, error) {
	for _, b := range p {
		if c.f.fresh = b == '\n'; c.f.fresh {
			c.f.line++
		}
	}
	return c.f.out.Write(p)
}
