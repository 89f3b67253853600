// A disk without free space for the program that this is preloaded into, for as long as
// the file $FULL_DISK exists: what would make a file longer fails with ENOSPC, what
// overwrites does not. PostgreSQL writes its files by these calls.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int fd, off_t end) {
	int before = errno;
	const char *flag = getenv("FULL_DISK");
	struct stat file;
	int is = flag && access(flag, F_OK) == 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && end > file.st_size;
	errno = is ? ENOSPC : before;
	return is;
}

static off_t sum(const struct iovec *parts, int n) {
	off_t all = 0;
	for (int i = 0; i < n; i++) all += parts[i].iov_len;
	return all;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define PWRITE(name) \
	ssize_t name(int fd, const void *data, size_t n, off_t at) { return full(fd, at + (off_t)n) ? -1 : REAL(name)(fd, data, n, at); }
#define PWRITEV(name) \
	ssize_t name(int fd, const struct iovec *parts, int n, off_t at) { return full(fd, at + sum(parts, n)) ? -1 : REAL(name)(fd, parts, n, at); }
#define ALLOCATE(name) \
	int name(int fd, off_t at, off_t n) { return full(fd, at + n) ? ENOSPC : REAL(name)(fd, at, n); }

PWRITE(pwrite)
PWRITE(pwrite64)
PWRITEV(pwritev)
PWRITEV(pwritev64)
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)
