/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int failure_set(struct failure *failure, enum exit_status status, const char *format, ...) {
        va_list args;
        failure->status = status;
        va_start(args, format);
        vsnprintf(failure->text, sizeof(failure->text), format, args);
        va_end(args);
        return -ECANCELED;
}

char *failure_errno(int error, char *buf, size_t size) {
        /* Not strerror_r(): there are two of it, and which one we get hangs on a macro. ramald has one thread. */
        snprintf(buf, size, "%s", strerror(error < 0 ? -error : error));
        return buf;
}
