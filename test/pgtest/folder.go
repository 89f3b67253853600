package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// folderPattern names the folders of private servers.
const folderPattern = "hcbridge-pg-*"

// memory is a file system in memory, on Linux, and roomy what must be free in it.
const (
	memory = "/dev/shm"
	roomy  = 8 << 30
)

// place is where the folder of a server goes: into memory, if there is plenty and nobody
// has said otherwise by TMPDIR, as tests make and drop databases of hundreds of files.
func place(o Options) string {
	var fs syscall.Statfs_t
	if o.Fsync || os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < roomy { //nolint:unconvert // their types differ by system
		return os.TempDir()
	}
	return memory
}

// A folder holds one server: data, log, socket, and a file that we hold
// locked. The kernel drops the lock when we die, however we die, and so tells
// the next sweep that the folder is nobody's any more.
type folder struct {
	dir  string
	lock *os.File
}

func newFolder(in string, owner runAs) (*folder, error) {
	dir, err := os.MkdirTemp(in, folderPattern)
	if err != nil {
		return nil, fmt.Errorf("folder for the server: %w", err)
	}
	f := &folder{dir: dir}
	if f.lock, err = lockFile(f.path("lock")); err != nil {
		f.remove()
		return nil, err
	}
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			f.remove()
			return nil, fmt.Errorf("folder for the server: %w", err)
		}
	}
	return f, nil
}

// lockFile opens or makes the file and locks it, or fails at once. Go opens
// files close-on-exec, so the server does not inherit the lock.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock of %s: %w", path, err)
	}
	return file, nil
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) data() string            { return f.path("data") }
func (f *folder) pidFile() string         { return filepath.Join(f.data(), "postmaster.pid") }

// socketDir is where the Unix socket goes, or "" for none where the path would
// not fit into a socket address (104 bytes on macOS, 108 on Linux).
func (f *folder) socketDir() string {
	if len(f.path(".s.PGSQL.65535")) > 100 {
		return ""
	}
	return f.dir
}

// write makes a file that the server's user can read and nobody else.
func (f *folder) write(name, text string) error {
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("file for the server: %w", err)
	}
	info, err := os.Stat(f.dir)
	if err != nil {
		return fmt.Errorf("file for the server: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(f.path(name), int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("file for the server: %w", err)
		}
	}
	return nil
}

func (f *folder) openLog() (*os.File, error) {
	log, err := os.OpenFile(f.path("log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("server log: %w", err)
	}
	return log, nil
}

// logFrom returns what the server has logged since offset, at most 4 KiB.
func (f *folder) logFrom(offset int64) string {
	text, err := os.ReadFile(f.path("log"))
	if err != nil {
		return err.Error()
	}
	text = text[min(int(offset), len(text)):]
	text = text[max(0, len(text)-4096):]
	return strings.TrimSpace(string(text))
}

func (f *folder) remove() {
	_ = os.RemoveAll(f.dir) // what stays is swept by a later start
	if f.lock != nil {
		f.lock.Close()
	}
}

// sweep removes folders whose owner is gone. One younger than a minute may not
// have been locked yet.
func sweep(temp string) {
	locks, err := filepath.Glob(filepath.Join(temp, folderPattern, "lock"))
	if err != nil {
		return
	}
	for _, path := range locks {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if lock, err := lockFile(path); err == nil {
			(&folder{dir: filepath.Dir(path), lock: lock}).remove()
		}
	}
}
