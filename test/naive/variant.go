package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// variant is one mistake.
type variant struct {
	name   string
	why    string // it comes to mind
	breaks string // what happens then
	file   string // from the root of the repository
	pkg    string // of the test that finds it
	run    string // the pattern of that test
	hangs  bool   // the test may run into its limit instead of failing
	hunks  []hunk
}

// hunk is a text that occurs exactly once in the file, and what takes its place.
type hunk struct{ old, new string }

// load reads the files of a folder. A variant begins with "== name" and has lines
// "key: value", then its hunks in the form of a diff, with "@@" between two.
func load(folder string) (all []variant, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no variants in %s", folder))
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, block := range strings.Split("\n"+string(text), "\n== ")[1:] {
			v, err := parse(block)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, v.name, err)
			}
			all = append(all, v)
		}
	}
	return all, nil
}

func parse(block string) (v variant, err error) {
	lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
	v.name = lines[0]
	var before, after []string
	end := func() {
		v.hunks = append(v.hunks, hunk{strings.Join(before, "\n"), strings.Join(after, "\n")})
		before, after = nil, nil
	}
	for _, line := range lines[1:] {
		switch key, value, _ := strings.Cut(line, ": "); {
		case line == "@@":
			end()
		case strings.HasPrefix(line, "-"):
			before = append(before, line[1:])
		case strings.HasPrefix(line, "+"):
			after = append(after, line[1:])
		case strings.HasPrefix(line, " "):
			before, after = append(before, line[1:]), append(after, line[1:])
		case key == "why":
			v.why = value
		case key == "breaks":
			v.breaks = value
		case key == "file":
			v.file = value
		case key == "test":
			v.pkg, v.run, _ = strings.Cut(value, " ")
		case key == "hangs":
			v.hangs = value == "yes"
		default:
			return v, fmt.Errorf("line %q", line)
		}
	}
	end()
	if v.why == "" || v.breaks == "" || v.file == "" || v.run == "" {
		return v, errors.New("why, breaks, file and test are needed")
	}
	return v, nil
}

// apply returns text with the mistake in it.
func (v variant) apply(text string) (string, error) {
	for n, h := range v.hunks {
		if count := strings.Count(text, h.old); count != 1 || h.old == "" || h.old == h.new {
			return "", fmt.Errorf("the old text of hunk %d is in %s %d times", n+1, v.file, count)
		}
		text = strings.Replace(text, h.old, h.new, 1)
	}
	return text, nil
}
