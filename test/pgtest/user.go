package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// runAs is the user that runs the server: nil for the one that we are.
type runAs *syscall.Credential

// unprivileged returns nobody when we are root, whom PostgreSQL refuses.
func unprivileged() (runAs, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("unprivileged user: %w", err)
	}
	// macOS numbers nobody -2.
	uid, err := strconv.ParseInt(nobody.Uid, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("unprivileged user: uid: %w", err)
	}
	gid, err := strconv.ParseInt(nobody.Gid, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("unprivileged user: gid: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func sysProcAttr(user runAs) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user}
}
