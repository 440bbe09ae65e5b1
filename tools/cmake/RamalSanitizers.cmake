# SPDX-License-Identifier: MIT
#
# RAMAL_SANITIZE, RAMAL_FUZZ and RAMAL_COVERAGE as flags of ramal_build_flags.
if(RAMAL_SANITIZE)
  # Without recovery a finding ends the program, so that the test fails.
  set(sanitize -fsanitize=${RAMAL_SANITIZE} -fno-sanitize-recover=all)
  target_compile_options(ramal_build_flags INTERFACE ${sanitize} -fno-omit-frame-pointer)
  target_link_options(ramal_build_flags INTERFACE ${sanitize})
endif()

if(RAMAL_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "RAMAL_FUZZ needs clang (libFuzzer); use the preset fuzz")
  endif()
  # The engine itself is linked by the fuzz targets alone, see ramal_fuzz_target().
  target_compile_options(ramal_build_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(RAMAL_COVERAGE)
  target_compile_options(ramal_build_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(ramal_build_flags INTERFACE --coverage)
endif()
