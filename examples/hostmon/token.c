/* SPDX-License-Identifier: MIT */
#include "token.h"

#include <string.h>

/* Not isalnum(): that one asks the locale. */
static int stays(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("_-+@!%:=~", c) != NULL);
}

char *token_make(const char *name, char buf[TOKEN_BYTES]) {
        size_t len = strnlen(name, TOKEN_BYTES - 1);

        for (size_t i = 0; i < len; i++)
                buf[i] = stays(name[i]) ? name[i] : '_';
        if (len == 0)
                buf[len++] = '_';
        buf[len] = '\0';
        return buf;
}
