# SPDX-License-Identifier: MIT
target_compile_options(ramal_flags INTERFACE
  -Wall
  -Wextra
  -Wpedantic
  -Walloca
  -Wconversion
  -Wdate-time
  -Wdouble-promotion
  -Wformat=2
  -Wimplicit-fallthrough
  -Wmissing-prototypes
  -Wnested-externs
  -Wold-style-definition
  -Wpointer-arith
  -Wredundant-decls
  -Wshadow
  -Wstrict-prototypes
  -Wundef
  -Wvla
  -Wwrite-strings)

if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(ramal_flags INTERFACE
    # Not for clang, which also warns about protobuf-c's ..._INIT macros where they are used.
    -Wcast-qual
    -Wduplicated-cond
    -Wlogical-op
    -Wtrampolines)
endif()

if(RAMAL_WERROR)
  target_compile_options(ramal_flags INTERFACE -Werror)
endif()
