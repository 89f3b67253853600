package config

import (
	"io/fs"
	"strings"
	"time"
)

// Objects reads what [Env] wrote, also with the line ends of a browser. A poll
// interval that is not set stays zero, and what is not about objects is left
// out. The error is an [*Error].
func Objects(block string) ([]Object, error) {
	e := newEnvironment(strings.Split(block, "\n"), func(string) ([]byte, error) { return nil, fs.ErrPermission })
	objects := e.objects(nil, 0)
	for i := range objects {
		objects[i].PollRelaxed = false // which is not the block's to say
	}
	e.refuseUnknown(objectNames(objects))
	return objects, e.err()
}

// Interval writes a duration as people do, and as [Env] does: 10m, not 10m0s.
func Interval(d time.Duration) string { return short(d) }
