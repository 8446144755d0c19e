/* A disk that fails while a file says so: `$FAILING_DISK` holds the number of the error that writes meet.
   Loaded into one node by LD_PRELOAD; it sees writes to ordinary files, not to sockets
   nor to standard error, which is a file only in tests. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(int fd) {
    const char *path = getenv("FAILING_DISK");
    struct stat what;
    char text[16] = {0};
    int said, number = 0;
    if (path == NULL || fd == STDERR_FILENO || fstat(fd, &what) != 0 || !S_ISREG(what.st_mode))
        return 0;
    said = open(path, O_RDONLY | O_CLOEXEC);
    if (said < 0)
        return 0;
    if (read(said, text, sizeof text - 1) > 0)
        number = atoi(text);
    close(said);
    return number;
}

#define FAILS(fd) do { int number = fault(fd); if (number) { errno = number; return -1; } } while (0)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { FAILS(fd); return REAL(pwrite64)(fd, data, size, at); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { FAILS(fd); return REAL(pwrite)(fd, data, size, at); }
ssize_t write(int fd, const void *data, size_t size) { FAILS(fd); return REAL(write)(fd, data, size); }
int fsync(int fd) { FAILS(fd); return REAL(fsync)(fd); }
int fdatasync(int fd) { FAILS(fd); return REAL(fdatasync)(fd); }
int ftruncate64(int fd, off64_t size) { FAILS(fd); return REAL(ftruncate64)(fd, size); }
