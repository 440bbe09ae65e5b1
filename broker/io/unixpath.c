/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "unixpath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"

#define LOCK_TRIES 16 /* another broker may remove its lock file between our open() and flock() */

static const char *file_type(mode_t mode) {
        switch (mode & S_IFMT) {
        case S_IFREG:
                return "a regular file";
        case S_IFLNK:
                return "a symbolic link";
        case S_IFIFO:
                return "a FIFO";
        case S_IFDIR:
                return "a directory";
        case S_IFSOCK:
                return "a socket";
        default:
                return "a device";
        }
}

/* "/a/b" -> "/a"; "/b" -> "/"; "b" -> "." */
static void directory_of(const char *path, char *ret, size_t size) {
        const char *slash = strrchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : 0;
        if (!slash)
                snprintf(ret, size, ".");
        else if (len == 0)
                snprintf(ret, size, "/");
        else
                snprintf(ret, size, "%.*s", (int)len, path);
}

static mode_t directory_mode(const struct unixpath_rules *rules, bool public_parent) {
        mode_t mode = public_parent && !rules->has_group ? 0700 : 0750;
        if (rules->mode & 0006)
                mode |= 0055; /* whom the socket lets in must be able to reach it */
        else if (rules->mode & 0060)
                mode |= 0050;
        return mode;
}

/* Creates it if it is not there. Sets *made. */
static int make_directory(const char *directory, bool *made, struct failure *failure) {
        char why[80];
        if (mkdir(directory, 0700) == 0) {
                *made = true;
                return 0;
        }
        if (errno == EEXIST)
                return 0;
        if (errno == ENOENT) {
                char parent[108];
                directory_of(directory, parent, sizeof(parent));
                return failure_set(
                        failure, EXIT_SOCKET_PATH,
                        "cannot create the directory %s: %s does not exist; create it, or choose a path with --listen",
                        directory, parent);
        }
        return failure_set(failure, EXIT_SOCKET_PATH, "cannot create the directory %s: %s; choose a path with --listen",
                           directory, failure_errno(errno, why, sizeof(why)));
}

/* The directory that is ours by name gets the group and mode that the rules ask for. */
static int dress_directory(int fd, const char *directory, const struct unixpath_rules *rules, struct failure *failure) {
        char parent[108], why[80];
        struct stat st, above;
        directory_of(directory, parent, sizeof(parent));
        bool public_parent = stat(parent, &above) == 0 && (above.st_mode & S_IWOTH);
        mode_t mode = directory_mode(rules, public_parent);
        if (fstat(fd, &st) < 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot look at the directory %s: %s", directory,
                                   failure_errno(errno, why, sizeof(why)));
        if (rules->has_group && st.st_gid != rules->group && fchown(fd, (uid_t)-1, rules->group) < 0)
                return failure_set(failure, EXIT_DENIED,
                                   "--socket-group: cannot give the directory %s to group %u: %s; run as root or as a "
                                   "member of that group",
                                   directory, (unsigned)rules->group, failure_errno(errno, why, sizeof(why)));
        if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot set the mode of the directory %s to %04o: %s",
                                   directory, (unsigned)mode, failure_errno(errno, why, sizeof(why)));
        return 0;
}

static int check_directory(int fd, const char *directory, bool own, struct failure *failure) {
        char why[80];
        struct stat st;
        if (fstat(fd, &st) < 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot look at the directory %s: %s", directory,
                                   failure_errno(errno, why, sizeof(why)));
        if (st.st_uid != geteuid() && (own || st.st_uid != 0))
                return failure_set(
                        failure, EXIT_SOCKET_PATH,
                        "the directory %s belongs to uid %u, who could put another socket in our place; use a "
                        "directory of uid %u",
                        directory, (unsigned)st.st_uid, (unsigned)geteuid());
        if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "everybody may write to the directory %s (mode %04o) and put another socket in our "
                                   "place; chmod o-w it, or use another",
                                   directory, (unsigned)st.st_mode & 07777);
        return 0;
}

static int prepare_directory(const char *directory, const struct unixpath_rules *rules, bool *made,
                             struct failure *failure) {
        bool own = rules->make_directory;
        char why[80];
        int r = own ? make_directory(directory, made, failure) : 0;
        if (r < 0)
                return r;
        /* A link in place of a directory of ours is somebody's trick; a path that was typed may well lead through
         * one. */
        int fd = open(directory, O_DIRECTORY | O_CLOEXEC | (own ? O_RDONLY | O_NOFOLLOW : O_PATH));
        if (fd < 0 && errno == ENOENT)
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "the directory %s does not exist; create it, or choose another path", directory);
        struct stat st;
        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) && lstat(directory, &st) == 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "%s is %s and no directory; choose another path",
                                   directory, file_type(st.st_mode));
        if (fd < 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot open the directory %s: %s; choose another path",
                                   directory, failure_errno(errno, why, sizeof(why)));
        r = check_directory(fd, directory, own, failure);
        if (r == 0 && own)
                r = dress_directory(fd, directory, rules, failure);
        close(fd);
        return r;
}

int unixpath_directory(const char *path, const struct unixpath_rules *rules, struct failure *failure) {
        char directory[108];
        bool made;
        directory_of(path, directory, sizeof(directory));
        return prepare_directory(directory, rules, &made, failure);
}

/* Who holds the lock? Its pid, or 0. */
static long lock_holder(int fd) {
        char text[32];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        return strtol(text, NULL, 10);
}

/* Is there nothing in it, or a pid? Another program's NAME.lock may have our uid, too, and what it holds would be
 * lost. */
static bool holds_pid(int fd) {
        char text[32];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        if (n < 0)
                return false;
        text[n] = '\0';
        return strspn(text, "0123456789\n") == (size_t)n && (size_t)n < sizeof(text) - 1;
}

/* Is it our own plain file? A lock on anything else would be worth nothing. */
static int check_lock(const struct unixpath *unixpath, int fd, struct failure *failure) {
        struct stat st;
        char why[80];
        if (fstat(fd, &st) < 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot look at %s: %s", unixpath->lock,
                                   failure_errno(errno, why, sizeof(why)));
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
                return failure_set(
                        failure, EXIT_SOCKET_PATH,
                        "the lock file %s is %s of uid %u and not ours (uid %u); remove it, or choose another path",
                        unixpath->lock, file_type(st.st_mode), (unsigned)st.st_uid, (unsigned)geteuid());
        if (!holds_pid(fd))
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "%s is no lock file of ramald's and is left alone; move it away, or choose another "
                                   "path with --listen",
                                   unixpath->lock);
        return 0;
}

static int open_lock(const struct unixpath *unixpath, struct failure *failure) {
        char why[80];
        int fd = open(unixpath->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
        int error = errno;
        struct stat st;
        if (fd < 0 && error == ELOOP)
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "the lock file %s is a symbolic link; remove it, or choose another path",
                                   unixpath->lock);
        if (fd < 0 && lstat(unixpath->lock, &st) == 0)
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "cannot open the lock file %s (%s of uid %u): %s; remove it, or choose another path",
                                   unixpath->lock, file_type(st.st_mode), (unsigned)st.st_uid,
                                   failure_errno(error, why, sizeof(why)));
        if (fd < 0)
                return failure_set(
                        failure, EXIT_SOCKET_PATH,
                        "cannot create files in the directory %s as uid %u: %s; choose a directory of your own",
                        unixpath->directory, (unsigned)geteuid(), failure_errno(error, why, sizeof(why)));
        return fd;
}

/* Does the path still name this very file? */
static bool is_still(const char *path, dev_t dev, ino_t ino) {
        struct stat st;
        return lstat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Returns 1 with the lock, 0 if the file was removed meanwhile. */
static int try_lock(struct unixpath *unixpath, struct failure *failure) {
        char why[80];
        int fd = open_lock(unixpath, failure);
        if (fd < 0)
                return fd;
        int r = check_lock(unixpath, fd, failure);
        if (r < 0)
                goto out;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        r = failure_set(
                                failure, EXIT_SYSTEM,
                                "another ramald (pid %ld) listens on %s; stop it, or choose another path with --listen",
                                lock_holder(fd), unixpath->path);
                else
                        r = failure_set(failure, EXIT_SOCKET_PATH, "cannot lock %s: %s", unixpath->lock,
                                        failure_errno(errno, why, sizeof(why)));
                goto out;
        }
        /* Whoever held it before may have removed the file: then others lock a new one, and ours means nothing. */
        struct stat st;
        if (fstat(fd, &st) < 0 || !is_still(unixpath->lock, st.st_dev, st.st_ino))
                goto out;
        unixpath->lock_fd = fd;
        return 1;
out:
        close(fd);
        return r;
}

static int take_lock(struct unixpath *unixpath, struct failure *failure) {
        int r = 0;
        for (int i = 0; i < LOCK_TRIES && r == 0; i++)
                r = try_lock(unixpath, failure);
        if (r == 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot get hold of %s: others remove it all the time",
                                   unixpath->lock);
        if (r < 0)
                return r;
        char text[32];
        int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
        char why[80];
        if (fchmod(unixpath->lock_fd, 0600) < 0 || ftruncate(unixpath->lock_fd, 0) < 0 ||
            pwrite(unixpath->lock_fd, text, (size_t)len, 0) != len)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot write to %s: %s", unixpath->lock,
                                   failure_errno(errno, why, sizeof(why)));
        return 0;
}

static void fill_sockaddr(const char *path, struct sockaddr_un *ret) {
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(ret->sun_path, path, strnlen(path, sizeof(ret->sun_path) - 1));
}

/* 0 = nobody listens on this socket file, -EADDRINUSE = somebody does, else why that cannot be told. */
static int probe(const char *path) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        struct sockaddr_un sun;
        fill_sockaddr(path, &sun);
        int r = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? errno : 0;
        close(fd);
        switch (r) {
        case ECONNREFUSED:
                return 0;
        case 0:
        case EAGAIN:     /* its backlog is full */
        case EPROTOTYPE: /* of another socket type */
                return -EADDRINUSE;
        default:
                return -r;
        }
}

/* Makes room at the path, if what lies there may go. We hold the lock: no ramald of ours listens. */
static int clear_path(const struct unixpath *unixpath, struct failure *failure) {
        const char *path = unixpath->path;
        char why[80];
        struct stat st;
        if (lstat(path, &st) < 0) {
                if (errno == ENOENT)
                        return 0;
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot look at %s: %s", path,
                                   failure_errno(errno, why, sizeof(why)));
        }
        if (!S_ISSOCK(st.st_mode))
                return failure_set(
                        failure, EXIT_SOCKET_PATH,
                        "%s is %s, not a socket, and is left alone; remove it, or choose another path with --listen",
                        path, file_type(st.st_mode));
        if (st.st_uid != geteuid())
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "the socket %s belongs to uid %u and is left alone (we are uid %u); remove it, or "
                                   "choose another path with --listen",
                                   path, (unsigned)st.st_uid, (unsigned)geteuid());
        int r = probe(path);
        if (r == -EADDRINUSE)
                return failure_set(failure, EXIT_SYSTEM,
                                   "another program listens on %s; stop it, or choose another path with --listen",
                                   path);
        if (r < 0)
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "cannot tell whether somebody listens on %s: %s; remove it, or choose another path "
                                   "with --listen",
                                   path, failure_errno(r, why, sizeof(why)));
        if (unlink(path) < 0 && errno != ENOENT)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot remove the stale socket %s: %s", path,
                                   failure_errno(errno, why, sizeof(why)));
        return 0;
}

/* The mode is there with bind() already, unless the directory's default ACL or a group asks for a second step. */
static int bind_socket(struct unixpath *unixpath, const struct unixpath_rules *rules, int fd, struct failure *failure) {
        struct sockaddr_un sun;
        char why[80];
        fill_sockaddr(unixpath->path, &sun);
        mode_t first = rules->has_group ? rules->mode & 0700 : rules->mode;
        mode_t before = umask(~first & 0777);
        int r = bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? errno : 0;
        umask(before);
        if (r == EADDRINUSE)
                return failure_set(failure, EXIT_SYSTEM,
                                   "another program listens on %s since a moment ago; stop it, or choose another path",
                                   unixpath->path);
        if (r != 0)
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "cannot create the socket %s: %s; choose another path with --listen", unixpath->path,
                                   failure_errno(r, why, sizeof(why)));
        struct stat st;
        if (lstat(unixpath->path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return failure_set(failure, EXIT_SOCKET_PATH, "the socket %s went away while it was created",
                                   unixpath->path);
        unixpath->dev = st.st_dev;
        unixpath->ino = st.st_ino;
        unixpath->bound = true;
        if (rules->has_group && st.st_gid != rules->group && lchown(unixpath->path, (uid_t)-1, rules->group) < 0)
                return failure_set(failure, EXIT_DENIED,
                                   "--socket-group: cannot give the socket %s to group %u: %s; run as root or as a "
                                   "member of that group",
                                   unixpath->path, (unsigned)rules->group, failure_errno(errno, why, sizeof(why)));
        if ((first != rules->mode || (st.st_mode & 07777) != first) && chmod(unixpath->path, rules->mode) < 0)
                return failure_set(failure, EXIT_SOCKET_PATH, "cannot set the mode of the socket %s to %04o: %s",
                                   unixpath->path, (unsigned)rules->mode, failure_errno(errno, why, sizeof(why)));
        return 0;
}

int unixpath_open(struct unixpath *unixpath, const char *path, const struct unixpath_rules *rules, int *ret,
                  struct failure *failure) {
        char why[80];
        rml_check(strlen(path) < sizeof(unixpath->path));
        *unixpath = (struct unixpath){.lock_fd = -1};
        snprintf(unixpath->path, sizeof(unixpath->path), "%s", path);
        snprintf(unixpath->lock, sizeof(unixpath->lock), "%s.lock", path);
        directory_of(path, unixpath->directory, sizeof(unixpath->directory));

        int fd = -1;
        int r = prepare_directory(unixpath->directory, rules, &unixpath->made_directory, failure);
        if (r == 0)
                r = take_lock(unixpath, failure);
        if (r == 0)
                r = clear_path(unixpath, failure);
        if (r == 0) {
                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                if (fd < 0)
                        r = failure_set(failure, EXIT_SYSTEM, "cannot create a Unix socket: %s",
                                        failure_errno(errno, why, sizeof(why)));
                else
                        r = bind_socket(unixpath, rules, fd, failure);
        }
        if (r < 0) {
                if (fd >= 0)
                        close(fd);
                unixpath_close(unixpath, true);
                return r;
        }
        *ret = fd;
        return 0;
}

bool unixpath_in_place(const struct unixpath *unixpath) {
        return !unixpath->bound || is_still(unixpath->path, unixpath->dev, unixpath->ino);
}

void unixpath_hide(struct unixpath *unixpath) {
        if (!unixpath->bound)
                return;
        if (is_still(unixpath->path, unixpath->dev, unixpath->ino))
                unlink(unixpath->path);
        unixpath->bound = false;
}

void unixpath_close(struct unixpath *unixpath, bool failed) {
        unixpath_hide(unixpath);
        if (unixpath->lock_fd >= 0) {
                struct stat st;
                if (fstat(unixpath->lock_fd, &st) == 0 && is_still(unixpath->lock, st.st_dev, st.st_ino))
                        unlink(unixpath->lock);
                close(unixpath->lock_fd);
                unixpath->lock_fd = -1;
        }
        if (failed && unixpath->made_directory)
                rmdir(unixpath->directory);
        unixpath->made_directory = false;
}
