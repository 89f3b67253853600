package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// readFile reads a file that a variable names.
type readFile func(path string) ([]byte, error)

// maxFile bounds such files: an export of a thousand wide objects is smaller.
const maxFile = 16 << 20

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("larger than 16 MiB")
)

func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular // a pipe would block, a device never end
	case info.Size() > maxFile:
		return nil, errTooLarge
	}
	return os.ReadFile(path)
}

// environment is what is set of ours, and what was found wrong with it.
type environment struct {
	problems

	vars map[string]string
	read readFile
}

// newEnvironment keeps our variables of environ; as for os.Getenv, the first
// of two with one name counts.
func newEnvironment(environ []string, read readFile) *environment {
	e := &environment{vars: make(map[string]string), read: read}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		ours := strings.HasPrefix(name, "HC_") || name == "DATABASE_URL" || name == "DATABASE_URL"+fileSuffix
		if _, twice := e.vars[name]; ok && ours && !twice {
			e.vars[name] = value
		}
	}
	return e
}

// value returns what is set for name, trimmed, or "".
func (e *environment) value(name string) string {
	return strings.TrimSpace(e.vars[name])
}

// setting returns what is set for name, else its default.
func (e *environment) setting(name string) string {
	if value := e.value(name); value != "" {
		return value
	}
	v, _ := lookup(name)
	return v.Default
}

// secret returns what is set for name or in the file that name_FILE names.
// The line end that editors leave at the end of a file is not part of it.
func (e *environment) secret(name string) Secret {
	direct, path := e.vars[name], e.value(name+fileSuffix)
	switch {
	case path == "":
		return Secret(direct)
	case direct != "":
		e.add(name+fileSuffix, "%s is set too: unset one of them", name)
		return ""
	}
	text, ok := e.file(name+fileSuffix, path)
	if !ok {
		return ""
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		e.add(name+fileSuffix, "the file it names is empty")
	}
	return Secret(secret)
}

// given reports whether a secret is set in either form, readable or not.
func (e *environment) given(name string) bool {
	return e.vars[name] != "" || e.value(name+fileSuffix) != ""
}

// file reads the file that a variable names; a failure becomes a problem. It
// does not quote the path: somebody may have put the secret in its place.
func (e *environment) file(variable, path string) ([]byte, bool) {
	text, err := e.read(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		e.add(variable, "the file it names cannot be read: %v", err)
		return nil, false
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), true // editors on Windows begin a file with it
}

// refuseUnknown makes a problem of every variable that means nothing, with the
// nearest that does. objects are those that are synced.
func (e *environment) refuseUnknown(objects []string) {
	known := knownNames(objects)
	for name := range e.vars {
		if slices.Contains(known, name) {
			continue
		}
		near := nearest(name, known)
		if object, suffix, ok := splitObjectVariable(name); ok && !containsFold(objects, object) {
			if other := nearest(object, upper(objects)); other != "" {
				near = objectVariable(other, suffix)
			}
			e.add(name, "object %s is not in HC_OBJECTS or the mapping file: add it there; the nearest known name is %s", object, near)
			continue
		}
		e.add(name, "unknown variable; the nearest known name is %s", near)
	}
}

// splitObjectVariable takes HC_OBJECT_INVOICE__C_MODE apart. No suffix is the
// end of another one, so there is only one way.
func splitObjectVariable(name string) (object, suffix string, ok bool) {
	rest, ok := strings.CutPrefix(name, objectPrefix)
	if !ok {
		return "", "", false
	}
	for _, v := range Reference() {
		suffix, perObject := strings.CutPrefix(v.Name, objectPlaceholder)
		if !perObject {
			continue
		}
		if object, found := strings.CutSuffix(rest, "_"+suffix); found && object != "" {
			return object, suffix, true
		}
	}
	return "", "", false
}

// nearest returns the candidate with the smallest edit distance to name, of
// several the first in the alphabet; "" if there are none.
func nearest(name string, candidates []string) string {
	best, distance := "", 0
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := levenshtein.ComputeDistance(name, c); best == "" || d < distance {
			best, distance = c, d
		}
	}
	return best
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}

func upper(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToUpper(s)
	}
	return out
}
