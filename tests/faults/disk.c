/* A disk that can be made full or slow while a program runs on it, preloaded into that program: no root, no device.

   It rules over the files under $FAULTS_FILES and obeys files in $FAULTS_SWITCHES: while `full` is there, what would make
   a file longer fails as on a full disk; while `slow` is there, each flush takes as many milliseconds as it holds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int ruled(int fd) {
    const char *files = getenv("FAULTS_FILES");
    char link[64], path[4096];
    if (files == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, files, strlen(files)) == 0;
}

static int switched(const char *name, char *path, size_t size) {
    const char *switches = getenv("FAULTS_SWITCHES");
    if (switches == NULL) return 0;
    snprintf(path, size, "%s/%s", switches, name);
    return access(path, F_OK) == 0;
}

static int refused(int fd, off_t end) {
    char path[4096];
    struct stat file;
    if (!switched("full", path, sizeof path) || !ruled(fd)) return 0;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || end <= file.st_size) return 0;
    errno = ENOSPC;
    return 1;
}

static void linger(int fd) {
    char path[4096], text[16] = "";
    if (!switched("slow", path, sizeof path) || !ruled(fd)) return;
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    if (fgets(text, sizeof text, file) != NULL) usleep(1000u * (unsigned)atoi(text));
    fclose(file);
}

/* The function of that name that would be called without this library. */
#define REAL(name, result, ...) \
    typedef result (*real_type)(__VA_ARGS__); \
    static real_type real; \
    if (real == NULL) real = (real_type)dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL("write", ssize_t, int, const void *, size_t);
    int saved = errno;
    off_t at = lseek(fd, 0, SEEK_CUR);
    errno = saved;
    if (at >= 0 && refused(fd, at + (off_t)size)) return -1;
    return real(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    REAL("pwrite", ssize_t, int, const void *, size_t, off_t);
    return refused(fd, at + (off_t)size) ? -1 : real(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    return refused(fd, at + (off_t)size) ? -1 : real(fd, bytes, size, at);
}

int ftruncate(int fd, off_t size) {
    REAL("ftruncate", int, int, off_t);
    return refused(fd, size) ? -1 : real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL("ftruncate64", int, int, off64_t);
    return refused(fd, size) ? -1 : real(fd, size);
}

int fsync(int fd) {
    REAL("fsync", int, int);
    linger(fd);
    return real(fd);
}

int fdatasync(int fd) {
    REAL("fdatasync", int, int);
    linger(fd);
    return real(fd);
}
