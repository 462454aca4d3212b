package xmpptest

import (
	"fmt"
	"regexp"
	"strings"
)

var cellName = regexp.MustCompile(`\$[a-z]+`)

// ParsePlays reads a script that may hold many plays of one shape: a table of
// what differs stands in the header, and each row of it makes a play, named
// after its first cell:
//
//	# A request of somebody who is $state.
//	section: RFC 6121 §A.2.1
//	servers: $servers
//	standing: alice $state bob
//	for: state | servers | push
//	     none  | both    | ask='subscribe'
//	     both  | both    | -
//
//	alice/a online
//	alice/a > <presence type='subscribe' to='{bob}'/>
//	alice/a < <iq type='set'><query xmlns='jabber:iq:roster'><item $push/></query></iq>
//
// $push stands for the cell of that column. A step that names a cell with a
// lone - is left out of that row's play.
func ParsePlays(name, text string) ([]*Play, error) {
	lines := strings.Split(text, "\n")
	head := 0
	for head < len(lines) && !strings.HasPrefix(lines[head], "for:") {
		if lines[head] == "" {
			head = len(lines)
			break
		}
		head++
	}
	if head == len(lines) {
		p, err := ParsePlay(name, text)
		return []*Play{p}, err
	}
	columns := cells(strings.TrimPrefix(lines[head], "for:"))
	end := head + 1
	for end < len(lines) && indented(lines[end]) {
		end++
	}
	if end == head+1 {
		return nil, fmt.Errorf("%s:%d: the table has no rows", name, head+1)
	}
	var all []*Play
	for row := head + 1; row < end; row++ {
		values := cells(lines[row])
		if len(values) != len(columns) {
			return nil, fmt.Errorf("%s:%d: %d cells under %d columns", name, row+1, len(values), len(columns))
		}
		is := make(map[string]string, len(columns))
		for i, c := range columns {
			is["$"+c] = values[i]
		}
		filled, err := fill(lines, head, end, is)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, row+1, err)
		}
		p, err := ParsePlay(name+"/"+strings.ReplaceAll(values[0], " ", "-"), filled)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func indented(line string) bool { return line != "" && (line[0] == ' ' || line[0] == '\t') }

func cells(line string) []string {
	list := strings.Split(line, "|")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// fill writes the script of one row. What is left out stays as a comment, so
// that errors name the line of the file.
func fill(lines []string, from, to int, is map[string]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(lines); i++ {
		next := i
		for next+1 < len(lines) && indented(lines[next+1]) {
			next++ // a step with the lines that go on with it
		}
		unit := strings.Join(lines[i:next+1], "\n")
		i = next
		out := i >= from && i < to
		for _, name := range cellName.FindAllString(unit, -1) {
			v, ok := is[name]
			if !ok {
				return "", fmt.Errorf("the table has no column %s", name[1:])
			}
			out = out || v == "-"
		}
		if out {
			unit = strings.Repeat("#\n", strings.Count(unit, "\n")) + "#"
		}
		b.WriteString(cellName.ReplaceAllStringFunc(unit, func(s string) string { return is[s] }) + "\n")
	}
	return b.String(), nil
}
