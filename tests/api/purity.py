# SPDX-License-Identifier: MIT
"""The core, and the protocol but for its two socket files, are pure.

usage: purity.py [--globals] NM ARCHIVE [IMPURE_OBJECT...]

Reads with nm what an archive asks of others: no I/O, no clock, no print, no randomness, no
environment. With --globals, also that it has no variable of its own (a sanitizer or gcov adds some,
so that can only be asked of a plain build). Objects named IMPURE_OBJECT (as "wire.c") may do I/O.
"""

import re
import subprocess
import sys

import tree

IMPURE = re.compile(
    r"""
    # descriptors and sockets
    p?readv?2? | p?writev?2? | (send|recv)\w* | sendfile | splice | open\w* | creat | close | closedir | close_range
    | socket | socketpair | bind | connect | listen | accept4? | shutdown | [gs]etsockopt | getsockname
    | getpeername | ioctl | fcntl | dup[23]? | pipe2? | lseek | f?stat\w* | lstat | unlink\w* | rename\w* | mkdir\w* | mmap\w*
    | epoll\w* | p?poll | p?select | eventfd\w* | timerfd\w* | signalfd | io_uring\w* | syscall
    | getaddrinfo | freeaddrinfo | getnameinfo
    # time
    | clock\w* | gettimeofday | time | times | ftime | n?anosleep | u?sleep | localtime\w* | gmtime\w* | alarm | [gs]etitimer
    # streams and logs; snprintf, vsnprintf and sscanf stay in memory
    | v?f?w?printf | v?dprintf | v?asprintf | f?puts | f?putc | putchar | f?getc | getchar | fgets | v?f?scanf
    | f(open|close|read|write|flush|dopen)\w* | freopen | perror | v?syslog | openlog | std(in|out|err)
    # what is not the same at every run
    | s?rand\w* | [dlmnej]rand48\w* | getrandom | getentropy | arc4random\w* | (secure_)?getenv | [sp]etenv | putenv
    | get(pid|ppid|tid|uid|euid|gid|egid|hostname|cwd) | uname | sysconf
    # processes, threads, the end
    | v?fork | exec\w+ | system | popen | kill | raise | signal | sig(action|procmask) | pthread_\w+ | exit | _exit
    """,
    re.VERBOSE,
)
# Sections that a program can write to. What is only relocated at start is not one (.data.rel.ro).
WRITABLE = re.compile(r"^(\.data|\.bss|\.tdata|\.tbss|\.lbss|\.ldata|\*COM\*)(?!\.rel\.ro)")


def plain(symbol):
    """A function's own name: without the C library's aliases for large files and fortified calls."""
    symbol = symbol.split("@")[0]
    match = re.fullmatch(r"__(\w+)_chk", symbol) or re.fullmatch(r"__isoc\d+_(\w+)", symbol)
    symbol = match[1] if match else symbol
    return symbol[:-2] if symbol.endswith("64") else symbol


def symbols(nm, archive):
    """Yields (object, symbol, section or None if undefined) for all of the archive."""
    text = subprocess.run([nm, "-A", "--format=sysv", archive], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in text.splitlines():
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 7:
            continue
        # "libx.a:object.c.o:symbol", or with spaces around, depends on the format's width
        place, _, name = fields[0].rpartition(":")
        section = None if fields[2] in "Uw" or fields[6] == "*UND*" else fields[6]
        yield place.rpartition(":")[2], name.strip(), section


def main():
    arguments = sys.argv[1:]
    with_globals = "--globals" in arguments
    if with_globals:
        arguments.remove("--globals")
    nm, archive, *impure_objects = arguments

    objects, faults = set(), []
    for member, name, section in symbols(nm, archive):
        objects.add(member)
        if section is None:
            if member.removesuffix(".o") not in impure_objects and IMPURE.fullmatch(plain(name)):
                faults.append(f"{archive}({member}): asks for {name}")
        elif with_globals and WRITABLE.match(section):
            faults.append(f"{archive}({member}): has a variable, {name} in {section}")
    missing = [f"{archive}: has no {name}" for name in impure_objects if name + ".o" not in objects]
    return tree.report("purity", len(objects), faults + missing)


sys.exit(main())
