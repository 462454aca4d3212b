package config

import (
	"sort"
	"strconv"
	"strings"
)

// source finds the line of a key, which the TOML decoder does not tell.
type source struct{ lines map[string]int }

// newSource indexes each key and table header by its path; tables of an
// array carry their index, e.g. "modem.1.device".
func newSource(src []byte) source {
	s := source{lines: map[string]int{}}
	prefix := ""
	count := map[string]int{}
	open := "" // the closing quote of a multi-line string we are in
	for i, line := range strings.Split(string(src), "\n") {
		t := strings.TrimSpace(line)
		if open != "" {
			if strings.Contains(t, open) {
				open = ""
			}
			continue
		}
		switch {
		case strings.HasPrefix(t, "[["):
			name := header(t, "]]")
			n := count[name]
			count[name] = n + 1
			prefix = name + "." + strconv.Itoa(n) + "."
			s.add(name+"."+strconv.Itoa(n), i+1)
			s.add(name, i+1)
		case strings.HasPrefix(t, "["):
			name := header(t, "]")
			prefix = name + "."
			s.add(name, i+1)
		case t == "" || t[0] == '#':
		default:
			key, value, ok := strings.Cut(t, "=")
			if !ok {
				continue // inside a multi-line array
			}
			s.add(prefix+unquoteKey(key), i+1)
			for _, q := range []string{`"""`, `'''`} {
				if strings.Count(value, q) == 1 {
					open = q
				}
			}
		}
	}
	return s
}

func (s source) add(key string, line int) {
	if _, ok := s.lines[key]; !ok {
		s.lines[key] = line
	}
}

// line returns where a key stands; a key that is missing has its table's line.
func (s source) line(key string) int {
	for {
		if n, ok := s.lines[key]; ok {
			return n
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return 0
		}
		key = key[:i]
	}
}

func header(line, end string) string {
	name := strings.TrimLeft(line, "[")
	if i := strings.Index(name, end); i >= 0 {
		name = name[:i]
	}
	return unquoteKey(name)
}

func unquoteKey(k string) string {
	return strings.Trim(strings.TrimSpace(k), `"'`)
}

func sortProblems(p []Problem) {
	sort.SliceStable(p, func(i, j int) bool { return p[i].Line < p[j].Line })
}

// nearest returns the known name closest to a misspelt one, "" when none is near.
func nearest(name string, known []string) string {
	best, bestD := "", len(name)/3+2
	for _, k := range known {
		if d := distance(name, k); d < bestD {
			best, bestD = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur := row[j]
			row[j] = min(row[j]+1, row[j-1]+1, prev+cost)
			prev = cur
		}
	}
	return row[len(b)]
}
