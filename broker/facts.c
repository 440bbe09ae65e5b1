/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "facts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t facts_cpu_us(void) {
        struct rusage usage;
        if (getrusage(RUSAGE_SELF, &usage) < 0)
                return 0;
        return (uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec +
               (uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
}

/* The beginning of a small file, as text. Returns its length, 0 if it cannot be read. */
static size_t read_text(const char *path, char *buf, size_t size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        ssize_t n = read(fd, buf, size - 1);
        close(fd);
        buf[n > 0 ? n : 0] = '\0';
        return n > 0 ? (size_t)n : 0;
}

/* The number of a line such as "Private_Dirty:      1024 kB", in bytes. */
static uint64_t smaps_bytes(const char *text, const char *key) {
        unsigned long long kib = 0;
        const char *line = strstr(text, key);
        if (!line || sscanf(line + strlen(key), "%llu", &kib) != 1)
                return 0;
        return (uint64_t)kib * 1024u;
}

uint64_t facts_memory_bytes(void) {
        char text[2048];
        if (read_text("/proc/self/smaps_rollup", text, sizeof(text)) > 0)
                return smaps_bytes(text, "Private_Clean:") + smaps_bytes(text, "Private_Dirty:");
        unsigned long long size, resident, shared;
        if (read_text("/proc/self/statm", text, sizeof(text)) > 0 &&
            sscanf(text, "%llu %llu %llu", &size, &resident, &shared) == 3 && resident >= shared)
                return (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
        return 0;
}

bool facts_process(uint32_t pid, char *ret, size_t size) {
        char path[32];
        if (pid == 0)
                return false;
        snprintf(path, sizeof(path), "/proc/%u/comm", pid);
        size_t len = read_text(path, ret, size);
        if (len > 0 && ret[len - 1] == '\n')
                ret[--len] = '\0';
        return len > 0;
}
