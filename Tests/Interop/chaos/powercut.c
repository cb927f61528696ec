/* A disk that forgets, for one process: LD_PRELOAD this, and what the process writes below POWERCUT_DIR is noted in
 * POWERCUT_LOG/journal before it happens, with what was there before. power.py reads the journal once the process is
 * dead and takes back what no fsync had covered, which is what a power cut does.
 *
 * Nothing is really synced: the machine stays up, so its page cache keeps everything, and only the journal decides
 * what "the disk" had. POWERCUT_LOG/control is a page shared with the test: it counts and it breaks things on request.
 *
 * A call that would change a watched file behind the journal's back ends the process: better no test than a lenient one.
 * Not watched: "-shm", the index of SQLite's log, which is memory in the guise of a file; power.py removes it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, SYNC, SYNC_FAILED, CREATE, UNLINK, RENAME, DIRECTORY_SYNC };

/* The same layout as HEADER in power.py. `length` bytes follow: what was overwritten, or names. */
struct header {
    uint32_t magic, kind;
    uint64_t sequence, inode;
    int64_t offset, written, old_size, new_size, length;
};
#define MAGIC 0x43777250u

/* The same layout as CONTROL in power.py. A number below 0 is "never" or "no limit". */
struct control {
    int64_t space;            /* bytes by which files may still grow; then ENOSPC */
    int64_t write_fails_in;   /* this many writes succeed; then EIO ... */
    int64_t write_fails_for;  /* ... this often */
    int64_t sync_fails_in, sync_fails_for;
    int64_t sync_delay_us;
    int64_t read_only;        /* 1: every change is EROFS */
    int64_t lies;             /* 1: syncs say that they succeeded and cover nothing, as some disks do */
    int64_t dies_in;          /* this many changes and syncs happen; then SIGKILL before the next one */
    int64_t writes, syncs, failures; /* counted for the test */
};

#define DESCRIPTORS 65536
#define FILES 4096
#define NONE 0
#define IS_FILE 1
#define IS_DIRECTORY 2

static struct { uint64_t inode; char kind; } descriptors[DESCRIPTORS];
static struct { uint64_t inode, written, synced, unlinked; } files[FILES];
static int file_count;
static uint64_t sequence, directory_changed, directory_synced, graves;
static int must_keep; /* after a failed sync the journal is not emptied: what it doomed stays doomed */
static char watched[PATH_MAX], side[PATH_MAX];
static size_t watched_length;
static int journal = -1;
static struct control *control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
    static __typeof__(&name) real_##name; \
    if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void give_up(const char *why) {
    dprintf(2, "powercut: %s\n", why);
    raise(SIGABRT);
    _exit(99);
}

static void must_write(const void *bytes, size_t length) {
    REAL(write);
    if (length && real_write(journal, bytes, length) != (ssize_t)length) give_up("the journal cannot be written");
}

static int file_index(uint64_t inode) {
    for (int i = 0; i < file_count; i++)
        if (files[i].inode == inode) return i;
    if (file_count == FILES) give_up("too many files");
    memset(&files[file_count], 0, sizeof files[0]);
    files[file_count].inode = inode;
    return file_count++;
}

static void account(const struct header *h) {
    if (h->sequence > sequence) sequence = h->sequence;
    int i = h->inode ? file_index(h->inode) : -1;
    switch (h->kind) {
    case WRITE: case TRUNCATE: files[i].written = h->sequence; break;
    case SYNC: if ((uint64_t)h->offset > files[i].synced) files[i].synced = h->offset; break;
    case SYNC_FAILED: must_keep = 1; break;
    case UNLINK: files[i].unlinked = h->sequence; directory_changed = h->sequence; break;
    case CREATE: case RENAME: directory_changed = h->sequence; break;
    case DIRECTORY_SYNC: if ((uint64_t)h->offset > directory_synced) directory_synced = h->offset; break;
    }
}

static uint64_t note(uint32_t kind, uint64_t inode, int64_t offset, int64_t written, int64_t old_size, int64_t new_size,
                     const void *bytes, size_t length) {
    struct header h = {MAGIC, kind, sequence + 1, inode, offset, written, old_size, new_size, (int64_t)length};
    char *whole = malloc(sizeof h + length);
    if (!whole) give_up("no memory");
    memcpy(whole, &h, sizeof h);
    memcpy(whole + sizeof h, bytes, length);
    must_write(whole, sizeof h + length);
    free(whole);
    account(&h);
    return h.sequence;
}

/* Once nothing is open to loss, what the journal says is past. */
static void forget_what_is_safe(void) {
    if (must_keep || directory_synced < directory_changed) return;
    for (int i = 0; i < file_count; i++)
        if (files[i].synced < files[i].written && !(files[i].unlinked && files[i].unlinked <= directory_synced)) return;
    REAL(ftruncate);
    if (real_ftruncate(journal, 0)) give_up("the journal cannot be emptied");
    file_count = 0;
    REAL(unlink);
    char grave[PATH_MAX + 32];
    for (; graves; graves--) {
        snprintf(grave, sizeof grave, "%s/grave-%llu", side, (unsigned long long)graves);
        real_unlink(grave);
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("POWERCUT_DIR"), *log = getenv("POWERCUT_LOG");
    if (!folder || !log) return;
    if (!realpath(folder, watched) || !realpath(log, side)) give_up("POWERCUT_DIR and POWERCUT_LOG must exist");
    watched_length = strlen(watched);
    char path[PATH_MAX + 32];
    REAL(open);
    snprintf(path, sizeof path, "%s/control", side);
    int fd = real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) give_up("POWERCUT_LOG/control must exist");
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) give_up("the control page cannot be mapped");
    close(fd);
    snprintf(path, sizeof path, "%s/journal", side);
    fd = real_open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) give_up("the journal cannot be opened");
    /* What an earlier process left unsynced is still unsynced. */
    struct header h;
    off_t at = 0, size = lseek(fd, 0, SEEK_END);
    while (pread(fd, &h, sizeof h, at) == (ssize_t)sizeof h && h.magic == MAGIC && at + (off_t)sizeof h + h.length <= size) {
        account(&h);
        if (h.kind == UNLINK || h.kind == RENAME) graves++;
        at += sizeof h + h.length;
    }
    REAL(ftruncate);
    if (real_ftruncate(fd, at)) give_up("the journal cannot be cut");
    journal = fd;
}

static int is_watched(const char *path) {
    if (journal < 0 || strncmp(path, watched, watched_length) || (path[watched_length] && path[watched_length] != '/')) return 0;
    size_t length = strlen(path);
    return length < 4 || strcmp(path + length - 4, "-shm");
}

/* The absolute path of a name whose last part need not exist; 0 when it is none of ours. */
static int resolve(int folder, const char *name, char *path) {
    if (journal < 0 || !name) return 0;
    char parent[PATH_MAX], given[PATH_MAX], real_parent[PATH_MAX];
    if (name[0] == '/' || folder == AT_FDCWD) snprintf(given, sizeof given, "%s", name);
    else if (snprintf(given, sizeof given, "/proc/self/fd/%d/%s", folder, name) >= (int)sizeof given) return 0;
    struct stat what;
    if (!stat(given, &what) && S_ISDIR(what.st_mode)) return realpath(given, path) && is_watched(path);
    snprintf(parent, sizeof parent, "%s", given);
    char *slash = strrchr(parent, '/');
    const char *last = slash ? given + (slash - parent) + 1 : given;
    if (slash) slash[slash == parent] = 0;
    if (!realpath(slash ? parent : ".", real_parent)) return 0;
    if (snprintf(path, PATH_MAX, "%s/%s", real_parent, last) >= PATH_MAX) return 0;
    return is_watched(path);
}

/* The file behind a descriptor if it is watched; called with the lock held. */
static uint64_t watched_file(int fd, struct stat *what) {
    if (journal < 0 || fd < 0 || fd >= DESCRIPTORS || descriptors[fd].kind != IS_FILE) return 0;
    if (fstat(fd, what) || what->st_ino != descriptors[fd].inode || !S_ISREG(what->st_mode)) {
        descriptors[fd].kind = NONE; /* closed behind our back, and the number belongs to something else */
        return 0;
    }
    return what->st_ino;
}

static int failed(int error) {
    control->failures++;
    errno = error;
    return -1;
}

/* Counts a step down to the death that the test asked for. */
static void step(void) {
    if (control->dies_in == 0) {
        raise(SIGKILL);
        for (;;) pause();
    }
    if (control->dies_in > 0) control->dies_in--;
}

static int fails(int64_t *in, int64_t *for_) {
    if (*in < 0 || *for_ == 0) return 0;
    if (*in > 0) {
        (*in)--;
        return 0;
    }
    if (*for_ > 0) (*for_)--;
    return 1;
}

/* Reads from a file whatever its descriptor is open for. */
static ssize_t read_there(int fd, void *bytes, size_t count, off_t offset) {
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY) return pread(fd, bytes, count, offset);
    REAL(open);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int reader = real_open(link, O_RDONLY | O_CLOEXEC);
    ssize_t got = reader < 0 ? -1 : pread(reader, bytes, count, offset);
    if (reader >= 0) close(reader);
    return got;
}

/* Says what is about to be overwritten; returns how much may be written, or -1. */
static ssize_t before_write(uint64_t inode, int fd, const struct stat *what, off_t offset, size_t count) {
    control->writes++;
    if (control->read_only == 1) return failed(EROFS);
    if (fails(&control->write_fails_in, &control->write_fails_for)) return failed(EIO);
    int64_t growth = offset + (int64_t)count - what->st_size;
    if (control->space >= 0 && growth > 0) {
        if (growth > control->space) { /* a full disk takes what fits */
            int64_t fitting = (int64_t)count - (growth - control->space);
            control->space = 0;
            if (fitting <= 0) return failed(ENOSPC);
            count = fitting;
        } else control->space -= growth;
    }
    step();
    int64_t new_size = offset + (int64_t)count > what->st_size ? offset + (int64_t)count : what->st_size;
    size_t length = 0;
    char *old = malloc(count ? count : 1);
    if (!old) give_up("no memory");
    if (offset < what->st_size) {
        int64_t there = what->st_size - offset;
        ssize_t got = read_there(fd, old, there < (int64_t)count ? (size_t)there : count, offset);
        if (got < 0) give_up("what is overwritten cannot be read");
        length = got;
    }
    note(WRITE, inode, offset, count, what->st_size, new_size, old, length);
    free(old);
    return count;
}

static void remember(int fd, const char *path, int existed) {
    struct stat what;
    if (fd < 0 || fd >= DESCRIPTORS || fstat(fd, &what)) return;
    descriptors[fd].kind = S_ISDIR(what.st_mode) ? IS_DIRECTORY : S_ISREG(what.st_mode) ? IS_FILE : NONE;
    descriptors[fd].inode = what.st_ino;
    if (descriptors[fd].kind == IS_FILE && !existed) note(CREATE, what.st_ino, 0, 0, 0, 0, path, strlen(path) + 1);
}

static int open_watched(int folder, const char *name, int flags, mode_t mode) {
    REAL(openat);
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return real_openat(folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = access(path, F_OK) == 0, fd;
    int changes = (flags & (O_CREAT | O_TRUNC)) && (!existed || (flags & O_TRUNC));
    if (control->read_only == 1 && (changes || (flags & O_ACCMODE) != O_RDONLY)) fd = failed(EROFS);
    else {
        if (changes) step();
        fd = real_openat(folder, name, flags & ~O_TRUNC, mode);
    }
    int error = errno;
    if (fd >= 0) remember(fd, path, existed);
    pthread_mutex_unlock(&lock);
    if (fd >= 0 && existed && (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY && ftruncate(fd, 0)) give_up("O_TRUNC failed");
    errno = error;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *name, int flags, ...) { MODE(flags, flags) return open_watched(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, flags) return open_watched(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags, flags) return open_watched(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags, flags) return open_watched(folder, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_watched(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS) descriptors[fd].kind = NONE;
    return real_close(fd);
}

static int copied(int from, int to) {
    if (to >= 0 && to < DESCRIPTORS && from >= 0 && from < DESCRIPTORS) descriptors[to] = descriptors[from];
    return to;
}
int dup(int fd) { REAL(dup); return copied(fd, real_dup(fd)); }
int dup2(int fd, int to) { REAL(dup2); return copied(fd, real_dup2(fd, to)); }

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    if (fd < 0 || fd >= DESCRIPTORS || descriptors[fd].kind != IS_FILE) return real_pwrite(fd, bytes, count, offset);
    struct stat what;
    pthread_mutex_lock(&lock);
    uint64_t inode = watched_file(fd, &what);
    ssize_t result = inode ? before_write(inode, fd, &what, offset, count) : (ssize_t)count;
    if (result >= 0) result = real_pwrite(fd, bytes, result, offset);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) { return pwrite(fd, bytes, count, offset); }

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    if (fd < 0 || fd >= DESCRIPTORS || descriptors[fd].kind != IS_FILE) return real_write(fd, bytes, count);
    struct stat what;
    pthread_mutex_lock(&lock);
    uint64_t inode = watched_file(fd, &what);
    ssize_t result = count;
    if (inode) {
        off_t at = fcntl(fd, F_GETFL) & O_APPEND ? what.st_size : lseek(fd, 0, SEEK_CUR);
        result = before_write(inode, fd, &what, at, count);
    }
    if (result >= 0) result = real_write(fd, bytes, result);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static void not_watched(int fd, const char *call) {
    struct stat what;
    if (fd >= 0 && fd < DESCRIPTORS && descriptors[fd].kind == IS_FILE && watched_file(fd, &what)) give_up(call);
}
ssize_t writev(int fd, const struct iovec *v, int n) { REAL(writev); not_watched(fd, "writev is not journalled"); return real_writev(fd, v, n); }
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at) { REAL(pwritev); not_watched(fd, "pwritev is not journalled"); return real_pwritev(fd, v, n, at); }
int fallocate(int fd, int mode, off_t at, off_t n) { REAL(fallocate); not_watched(fd, "fallocate is not journalled"); return real_fallocate(fd, mode, at, n); }
int posix_fallocate(int fd, off_t at, off_t n) { REAL(posix_fallocate); not_watched(fd, "posix_fallocate is not journalled"); return real_posix_fallocate(fd, at, n); }

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    REAL(mmap);
    if (fd >= 0 && (protection & PROT_WRITE) && (flags & 0x0f) != MAP_PRIVATE) not_watched(fd, "a shared, writable mapping is not journalled");
    return real_mmap(address, length, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) { return mmap(address, length, protection, flags, fd, offset); }

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    if (fd < 0 || fd >= DESCRIPTORS || descriptors[fd].kind != IS_FILE) return real_ftruncate(fd, size);
    struct stat what;
    pthread_mutex_lock(&lock);
    uint64_t inode = watched_file(fd, &what);
    int result = 0;
    if (inode && control->read_only == 1) result = failed(EROFS);
    else if (inode) {
        step();
        size_t length = size < what.st_size ? what.st_size - size : 0;
        char *old = malloc(length ? length : 1);
        if (!old || (length && read_there(fd, old, length, size) != (ssize_t)length)) give_up("what is cut off cannot be read");
        note(TRUNCATE, inode, size, 0, what.st_size, size, old, length);
        free(old);
    }
    if (result == 0) result = real_ftruncate(fd, size);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int truncate(const char *name, off_t size) {
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = ftruncate(fd, size), error = errno;
    close(fd);
    errno = error;
    return result;
}

/* Covers what was written before the call began. While it lasts, others go on; a death in it covers nothing. */
static int sync_watched(int fd, int (*real)(int)) {
    if (journal < 0 || fd < 0 || fd >= DESCRIPTORS || descriptors[fd].kind == NONE) return real(fd);
    struct stat what;
    pthread_mutex_lock(&lock);
    int kind = descriptors[fd].kind;
    uint64_t inode = kind == IS_FILE ? watched_file(fd, &what) : 0, until = sequence;
    if (kind == IS_FILE && !inode) {
        pthread_mutex_unlock(&lock);
        return real(fd);
    }
    control->syncs++;
    int64_t delay = control->sync_delay_us;
    step();
    if (delay > 0) {
        pthread_mutex_unlock(&lock);
        struct timespec time = {delay / 1000000, delay % 1000000 * 1000};
        nanosleep(&time, NULL);
        pthread_mutex_lock(&lock);
    }
    int result = 0;
    if (control->lies == 1) result = 0;
    else if (kind == IS_FILE && fails(&control->sync_fails_in, &control->sync_fails_for)) {
        /* As Linux does it: the error is told once, and the next fsync succeeds without having written these pages. */
        note(SYNC_FAILED, inode, until, 0, 0, 0, NULL, 0);
        result = failed(EIO);
    } else {
        note(kind == IS_FILE ? SYNC : DIRECTORY_SYNC, inode, until, 0, 0, 0, NULL, 0);
        forget_what_is_safe();
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int fsync(int fd) { REAL(fsync); return sync_watched(fd, real_fsync); }
int fdatasync(int fd) { REAL(fdatasync); return sync_watched(fd, real_fdatasync); }

/* Keeps what a name loses under another name, so that the loss can be taken back. */
static void bury(const char *path) {
    REAL(link);
    char grave[PATH_MAX + 32];
    snprintf(grave, sizeof grave, "%s/grave-%llu", side, (unsigned long long)++graves);
    unlink(grave);
    if (real_link(path, grave) && errno != ENOENT) give_up("a removed file cannot be kept");
}

int unlink(const char *name) {
    REAL(unlink);
    char path[PATH_MAX];
    struct stat what;
    if (!resolve(AT_FDCWD, name, path) || lstat(path, &what) || !S_ISREG(what.st_mode)) return real_unlink(name);
    pthread_mutex_lock(&lock);
    int result;
    if (control->read_only == 1) result = failed(EROFS);
    else {
        step();
        bury(path);
        note(UNLINK, what.st_ino, graves, 0, 0, 0, path, strlen(path) + 1);
        result = real_unlink(name);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int unlinkat(int folder, const char *name, int flags) {
    REAL(unlinkat);
    char path[PATH_MAX];
    return flags == 0 && resolve(folder, name, path) ? unlink(path) : real_unlinkat(folder, name, flags);
}
int remove(const char *name) {
    struct stat what;
    return !lstat(name, &what) && S_ISDIR(what.st_mode) ? rmdir(name) : unlink(name);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    char old[PATH_MAX], new[PATH_MAX];
    int is_from = resolve(AT_FDCWD, from, old), is_to = resolve(AT_FDCWD, to, new);
    if (!is_from && !is_to) return real_rename(from, to);
    if (is_from != is_to) give_up("a rename over the border is not journalled");
    pthread_mutex_lock(&lock);
    int result;
    if (control->read_only == 1) result = failed(EROFS);
    else {
        step();
        bury(new);
        char names[2 * PATH_MAX];
        size_t length = snprintf(names, sizeof names, "%s%c%s", old, 0, new) + 1;
        note(RENAME, 0, graves, 0, 0, 0, names, length);
        result = real_rename(from, to);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
