/* SPDX-License-Identifier: MIT */
/* The version of these headers, and of the library that is loaded. */
#ifndef RAMAL_VERSION_H
#define RAMAL_VERSION_H

#define RAMAL_VERSION_MAJOR 0
#define RAMAL_VERSION_MINOR 1
#define RAMAL_VERSION_PATCH 0
#define RAMAL_VERSION "0.1.0"

/* What every public header opens and closes with. */
#ifdef __cplusplus
#define RAMAL_BEGIN extern "C" {
#define RAMAL_END }
#else
#define RAMAL_BEGIN
#define RAMAL_END
#endif
#define RAMAL_API __attribute__((visibility("default")))

RAMAL_BEGIN

/* Version of the loaded library, e.g. "0.1.0". Static. Any thread. */
RAMAL_API const char *ramal_version(void);

RAMAL_END

#endif
