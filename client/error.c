/* SPDX-License-Identifier: MIT */
#include "client/conn_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
        int code;
        const char *text;
};

/* What an errno means when this library returns it. */
static const struct text meanings[] = {
        {-EACCES, "the broker does not allow it"},
        {-ENOENT, "nobody serves that subject"},
        {-EHOSTDOWN, "the service went away before it answered"},
        {-ETIMEDOUT, "the deadline passed"},
        {-ECANCELED, "cancelled"},
        {-EAGAIN, "too much is under way already; try again later"},
        {-EDQUOT, "a limit of the broker was met"},
        {-EMSGSIZE, "longer than the broker takes"},
        {-EOPNOTSUPP, "not supported"},
        {-EEXIST, "somebody else holds it already"},
        {-ENXIO, "there is no such thing"},
        {-EBADMSG, "the protocol was broken"},
        {-ETIME, "the broker waited too long for us"},
        {-EINVAL, "an argument is not valid"},
        {-ECONNREFUSED, "no broker answers"},
        {-ENOTCONN, "not connected to the broker"},
        {-ECONNRESET, "the connection to the broker was lost"},
        {-ESHUTDOWN, "the connection is closed"},
        {-EREMOTEIO, "the service answered with an error"},
        {-EDEADLK, "only this connection could answer, and it waits"},
        {-EINTR, "stopped"},
        {-ECHILD, "the connection belongs to another process (fork)"},
        {-EPERM, "the server cannot be trusted"},
        {-ENOKEY, "the token for TCP is missing or not private"},
        {-EPROTO, "what answers there is not a broker of this version"},
        {-EPROTOTYPE, "the service answered with a stream"},
        {-ENODATA, "nothing more comes"},
        {-ENOMEM, "no memory left"},
        {-EMFILE, "no descriptor left"},
        {-ENFILE, "no descriptor left in the system"},
};

/* What the system says when an address is tried. */
static const struct text reasons[] = {
        {-ENOENT, "there is no such socket"},
        {-ECONNREFUSED, "nobody listens there"},
        {-EACCES, "no permission to connect"},
        {-EPERM, "not permitted"},
        {-ENOTDIR, "a part of the path is not a directory"},
        {-ENOTSOCK, "not a socket"},
        {-EPROTOTYPE, "not a stream socket"},
        {-ETIMEDOUT, "no answer in time"},
        {-ENETUNREACH, "the network cannot be reached"},
        {-EHOSTUNREACH, "the host cannot be reached"},
        {-EADDRNOTAVAIL, "no local address or port for it"},
        {-EAFNOSUPPORT, "this system has no such kind of address"},
        {-EAGAIN, "its queue of new connections is full"},
        {-ECONNRESET, "it closed the connection before it answered"},
        {-EMFILE, "no descriptor left"},
        {-ENFILE, "no descriptor left in the system"},
        {-ENOMEM, "no memory left"},
        {-EISDIR, "a directory"},
        {-ELOOP, "too many symbolic links"},
        {-EIO, "input or output error"},
};

static const char *find(const struct text *texts, size_t count, int code) {
        for (size_t i = 0; i < count; i++)
                if (texts[i].code == code)
                        return texts[i].text;
        return NULL;
}

const char *ramal_strerror(int code) {
        const char *text = code >= 0 ? "no error" : find(meanings, RML_COUNT(meanings), code);

        return text ? text : "unexpected error of the system";
}

const char *rml_errno_text(int code, char buf[32]) {
        const char *text = find(reasons, RML_COUNT(reasons), code);

        if (text)
                return text;
        snprintf(buf, 32, "errno %d", -code);
        return buf;
}

const char *ramal_code_name(ramal_code code) {
        return rml_code_name((Ramal__V1__Code)code);
}

const char *ramal_why_name(ramal_why why) {
        return rml_why_name((Ramal__V1__Why)why);
}

const char *ramal_version(void) {
        return RAMAL_VERSION;
}

int rml_error(ramal_error *err, int code, const char *format, ...) {
        va_list args;

        if (!err)
                return code;
        err->code = code;
        err->status = RAMAL_CODE_OK;
        err->remote = 0;
        err->may_have_run = false;
        err->limit[0] = '\0';
        err->value = 0;
        va_start(args, format);
        vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
        return code;
}

int rml_error_copy(ramal_error *err, const ramal_error *from) {
        if (err)
                *err = *from;
        return from->code;
}

int rml_error_status(ramal_error *err, const Ramal__V1__Status *status) {
        int code = rml_code_errno(status->code);

        if (code == 0) /* a refusal without a reason */
                code = -EPROTO;
        if (!err)
                return code;
        rml_error(err, code, "%s", status->text && status->text[0] ? status->text : ramal_strerror(code));
        err->status = (ramal_code)status->code;
        err->may_have_run = status->may_have_run != 0;
        err->value = status->value;
        snprintf(err->limit, sizeof(err->limit), "%s", status->limit ? status->limit : "");
        return code;
}
