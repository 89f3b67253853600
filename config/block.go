package config

import (
	"io/fs"
	"strings"
	"time"
)

// Objects reads what [Env] wrote, with its lines ended in any way. A poll
// interval that is not set stays zero, and what is not about objects is left
// out. The error is an [*Error].
func Objects(block string) ([]Object, error) {
	lines := strings.FieldsFunc(block, func(r rune) bool { return r == '\n' || r == '\r' })
	e := newEnvironment(lines, func(string) ([]byte, error) { return nil, fs.ErrPermission })
	objects := e.objects(nil, 0)
	e.refuseUnknown(objectNames(objects))
	return objects, e.err()
}

// Interval writes a duration as people do, and as [Env] does: 10m, not 10m0s.
func Interval(d time.Duration) string { return short(d) }
