/* Counts what a process changes on the disk below one folder, and makes it fail or die there.

   Loaded before libc (LD_PRELOAD), so that it sees Python, SQLite and libraries in Rust alike. Each call that changes
   something (a file made, written, cut, renamed, removed, synced; a folder made or removed) is a point, numbered from 1.
   Between two points nothing on the disk changes: to die before each of them is to die everywhere.

   It also keeps what a power cut would leave: the content of each file when it was last synced, and the entries of each
   folder when that was (durable.py puts the folder back to that). Syncing itself is left out; it would only cost time.
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT, KILL, TEAR, STOP, FAIL };          /* faults.shim.MODES, in this order */
enum { TAKES_NONE, NEEDS_ROOM };                      /* on a full disk: goes on, or fails */
#define GENERATIONS (1 << 14)

struct state {                                        /* shared with the harness, so that it outlives a kill */
    long seen;                                        /* points passed */
    long fired;                                       /* the point at which it failed or died; 0: none */
    char what[16], path[400];                         /* of that point */
    struct { long inode, generation; } made[GENERATIONS];  /* an inode is used again after a file was removed */
};

static int mode = OFF, error, is_sticky, counts_stdout, is_traced, busy;
static long at;
static char root[PATH_MAX], kept[PATH_MAX];
static struct state *state;

static long *generation(long inode)
{
    long i = inode * 2654435761L & (GENERATIONS - 1);
    while (state->made[i].inode && state->made[i].inode != inode) i = (i + 1) & (GENERATIONS - 1);
    state->made[i].inode = inode;
    return &state->made[i].generation;
}

/* Everything below `folder` is watched from now on; `shared` is a file of campaign_size() bytes. */
void campaign_arm(const char *folder, const char *shared, const char *durable, int how, long where, int with, int again,
                  int out, int traced)
{
    int handle = open(shared, O_RDWR);
    state = mmap(0, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    close(handle);
    snprintf(root, sizeof root, "%s", folder);
    snprintf(kept, sizeof kept, "%s", durable);
    state->seen = state->fired = 0;
    at = where, error = with, is_sticky = again, counts_stdout = out, is_traced = traced;
    mode = how;
}
void campaign_disarm(void) { mode = OFF; }
long campaign_size(void) { return sizeof(struct state); }

static int is_below(const char *path)
{
    size_t n = strlen(root);
    return n && !strncmp(path, root, n) && (path[n] == '/' || !path[n]);
}

static int full(int folder, const char *path, char *into)
{
    if (path[0] == '/') return snprintf(into, PATH_MAX, "%s", path);
    char link[64], base[PATH_MAX] = "";
    if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
    else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
    }
    return snprintf(into, PATH_MAX, "%s/%s", base, path);
}

static int of_handle(int handle, char *into)
{
    char link[64];
    if (handle == 1 && counts_stdout) return snprintf(into, PATH_MAX, "%s/<stdout>", root);
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t n = readlink(link, into, PATH_MAX - 1);
    if (n < 0) return 0;
    into[n] = 0;
    char *gone = strstr(into, " (deleted)");
    if (gone) *gone = 0;
    return n;
}

/* Passes a point: 0 to go on, -1 to tear the write and die, else the error to fail with. */
static int point(const char *what, const char *path, int room)
{
    if (mode == OFF || busy || !is_below(path)) return 0;
    long number = __sync_add_and_fetch(&state->seen, 1);
    if (is_traced) dprintf(2, "point %ld %s %s\n", number, what, path + strlen(root));
    if (mode == COUNT || number < at || (number > at && !is_sticky)) return 0;
    if (mode == FAIL && error == ENOSPC && is_sticky && room != NEEDS_ROOM) return 0;
    if (!state->fired) {
        state->fired = number;
        snprintf(state->what, sizeof state->what, "%s", what);
        snprintf(state->path, sizeof state->path, "%s", path + strlen(root));
    }
    if (mode == FAIL) return error;
    if (mode == STOP) { raise(SIGTERM); return 0; }
    if (mode == TEAR && !strcmp(what, "write")) return -1;
    kill(getpid(), SIGKILL);
    return 0;
}

/* What a power cut leaves --------------------------------------------------------------------------------------- */

static void made(const char *path, int handle)
{
    struct stat told;
    if (mode == OFF || busy || !is_below(path) || (handle >= 0 ? fstat(handle, &told) : stat(path, &told))) return;
    ++*generation(told.st_ino);
}

static void name_of(char *into, size_t size, char kind, long inode)
{
    snprintf(into, size, "%s/%c%ld.%ld", kept, kind, inode, *generation(inode));
}

static void keep_file(int handle, struct stat *told)
{
    char to[PATH_MAX + 80], from[64], buffer[1 << 16];
    name_of(to, sizeof to, 'f', told->st_ino);
    snprintf(from, sizeof from, "/proc/self/fd/%d", handle);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        if (write(out, buffer, n) != n) abort();
    close(in), close(out);
}

static void keep_folder(const char *path, struct stat *told)
{
    char to[PATH_MAX + 80];
    name_of(to, sizeof to, 'd', told->st_ino);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat inner;
        char inside[PATH_MAX + 300];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (!lstat(inside, &inner))
            dprintf(out, "%c%ld.%ld %s\n", S_ISDIR(inner.st_mode) ? 'd' : 'f', (long)inner.st_ino,
                    *generation(inner.st_ino), entry->d_name);
    }
    if (folder) closedir(folder);
    close(out);
}

static int synced(int handle, const char *what)
{
    char path[PATH_MAX];
    struct stat told;
    int failed = of_handle(handle, path) ? point(what, path, TAKES_NONE) : 0;
    if (failed > 0) { errno = failed; return -1; }
    if (mode == OFF || busy || !is_below(path)) return (int)syscall(what[1] == 's' ? SYS_fsync : SYS_fdatasync, handle);
    if (!kept[0] || fstat(handle, &told)) return 0;
    busy = 1;
    if (S_ISDIR(told.st_mode)) keep_folder(path, &told);
    else if (S_ISREG(told.st_mode)) keep_file(handle, &told);
    busy = 0;
    return 0;
}
int fsync(int handle) { return synced(handle, "fsync"); }
int fdatasync(int handle) { return synced(handle, "fdatasync"); }

/* Files opened, written, cut ------------------------------------------------------------------------------------ */

static int opened(int folder, const char *name, int flags, mode_t rights)
{
    char path[PATH_MAX];
    int is_change = (flags & O_CREAT) || (flags & O_TRUNC), is_new = 0;
    if (mode != OFF && !busy && is_change && full(folder, name, path)) {
        is_new = (flags & O_CREAT) && access(path, F_OK) && is_below(path);
        int failed = is_new || (flags & O_TRUNC) ? point("open", path, is_new ? NEEDS_ROOM : TAKES_NONE) : 0;
        if (failed > 0) { errno = failed; return -1; }
    }
    int handle = (int)syscall(SYS_openat, folder, name, flags, rights);
    if (handle >= 0 && is_new) made(path, handle);
    return handle;
}
#define RIGHTS                                                                                                          \
    mode_t rights = 0;                                                                                                  \
    if (flags & O_CREAT) { va_list more; va_start(more, flags); rights = va_arg(more, mode_t); va_end(more); }
int open(const char *name, int flags, ...) { RIGHTS return opened(AT_FDCWD, name, flags, rights); }
int open64(const char *name, int flags, ...) { RIGHTS return opened(AT_FDCWD, name, flags, rights); }
int openat(int folder, const char *name, int flags, ...) { RIGHTS return opened(folder, name, flags, rights); }
int openat64(int folder, const char *name, int flags, ...) { RIGHTS return opened(folder, name, flags, rights); }

static ssize_t at_write(int handle, size_t size)  /* >= 0: write that much and die; -1: as usual; -2: failed */
{
    char path[PATH_MAX];
    if (mode == OFF || busy || !of_handle(handle, path)) return -1;
    int failed = point("write", path, NEEDS_ROOM);
    if (failed > 0) { errno = failed; return -2; }
    return failed ? (ssize_t)(size / 2) : -1;
}
#define DIES(call) do { (void)!(call); kill(getpid(), SIGKILL); } while (0)
ssize_t write(int handle, const void *data, size_t size)
{
    ssize_t part = at_write(handle, size);
    if (part == -2) return -1;
    if (part >= 0) DIES(syscall(SYS_write, handle, data, part));
    return syscall(SYS_write, handle, data, size);
}
static ssize_t written_at(int handle, const void *data, size_t size, off_t place)
{
    ssize_t part = at_write(handle, size);
    if (part == -2) return -1;
    if (part >= 0) DIES(syscall(SYS_pwrite64, handle, data, part, place));
    return syscall(SYS_pwrite64, handle, data, size, place);
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t place) { return written_at(handle, data, size, place); }
ssize_t pwrite64(int handle, const void *data, size_t size, off_t place) { return written_at(handle, data, size, place); }
ssize_t writev(int handle, const struct iovec *parts, int count)
{
    ssize_t part = at_write(handle, count ? parts[0].iov_len : 0);
    if (part == -2) return -1;
    if (part >= 0) DIES(syscall(SYS_write, handle, parts[0].iov_base, part));
    return syscall(SYS_writev, handle, parts, count);
}
ssize_t sendfile(int handle, int from, off_t *place, size_t size)
{
    ssize_t part = at_write(handle, size);
    if (part == -2) return -1;
    if (part >= 0) DIES(syscall(SYS_sendfile, handle, from, place, part));
    return syscall(SYS_sendfile, handle, from, place, size);
}
ssize_t sendfile64(int handle, int from, off_t *place, size_t size) { return sendfile(handle, from, place, size); }
ssize_t copy_file_range(int from, off_t *a, int handle, off_t *b, size_t size, unsigned flags)
{
    ssize_t part = at_write(handle, size);
    if (part == -2) return -1;
    if (part >= 0) DIES(syscall(SYS_copy_file_range, from, a, handle, b, part, flags));
    return syscall(SYS_copy_file_range, from, a, handle, b, size, flags);
}
static int cut(int handle, off_t size)
{
    char path[PATH_MAX];
    int failed = of_handle(handle, path) ? point("truncate", path, size ? NEEDS_ROOM : TAKES_NONE) : 0;
    if (failed > 0) { errno = failed; return -1; }
    return (int)syscall(SYS_ftruncate, handle, size);
}
int ftruncate(int handle, off_t size) { return cut(handle, size); }
int ftruncate64(int handle, off_t size) { return cut(handle, size); }
static int roomy(int handle, off_t place, off_t size)  /* returns the error, as posix_fallocate does */
{
    char path[PATH_MAX];
    int failed = of_handle(handle, path) ? point("allocate", path, NEEDS_ROOM) : 0;
    return failed > 0 ? failed : syscall(SYS_fallocate, handle, 0, place, size) ? errno : 0;
}
int posix_fallocate(int handle, off_t place, off_t size) { return roomy(handle, place, size); }
int posix_fallocate64(int handle, off_t place, off_t size) { return roomy(handle, place, size); }

/* Names ---------------------------------------------------------------------------------------------------------- */

#define NAMED(what, folder, name, room)                                                                                 \
    char path[PATH_MAX];                                                                                                \
    int failed = mode != OFF && full(folder, name, path) ? point(what, path, room) : 0;                                 \
    if (failed > 0) { errno = failed; return -1; }

int rename(const char *from, const char *to)
{ NAMED("rename", AT_FDCWD, to, NEEDS_ROOM) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to)
{ NAMED("rename", b, to, NEEDS_ROOM) return (int)syscall(SYS_renameat2, a, from, b, to, 0); }
int unlink(const char *name)
{ NAMED("unlink", AT_FDCWD, name, TAKES_NONE) return (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags)
{ NAMED("unlink", folder, name, TAKES_NONE) return (int)syscall(SYS_unlinkat, folder, name, flags); }
int rmdir(const char *name)
{ NAMED("rmdir", AT_FDCWD, name, TAKES_NONE) return (int)syscall(SYS_unlinkat, AT_FDCWD, name, AT_REMOVEDIR); }
static int folder_made(int folder, const char *name, mode_t rights)
{
    NAMED("mkdir", folder, name, NEEDS_ROOM)
    int done = (int)syscall(SYS_mkdirat, folder, name, rights);
    if (!done && mode != OFF) made(path, -1);
    return done;
}
int mkdir(const char *name, mode_t rights) { return folder_made(AT_FDCWD, name, rights); }
int mkdirat(int folder, const char *name, mode_t rights) { return folder_made(folder, name, rights); }
int chmod(const char *name, mode_t rights)
{ NAMED("chmod", AT_FDCWD, name, TAKES_NONE) return (int)syscall(SYS_fchmodat, AT_FDCWD, name, rights); }
int fchmod(int handle, mode_t rights)
{
    char path[PATH_MAX];
    int failed = of_handle(handle, path) ? point("chmod", path, TAKES_NONE) : 0;
    if (failed > 0) { errno = failed; return -1; }
    return (int)syscall(SYS_fchmod, handle, rights);
}
