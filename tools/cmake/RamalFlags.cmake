# SPDX-License-Identifier: MIT
#
# ramal_build_flags   what every object of ours needs: definitions, hardening, sanitizers, coverage
# ramal_flags         the same and our warnings; linked PRIVATE by every target but generated code
add_library(ramal_build_flags INTERFACE)
add_library(ramal_flags INTERFACE)
target_link_libraries(ramal_flags INTERFACE ramal_build_flags)

# Defined empty, so that a file that says "#define _GNU_SOURCE" itself does not clash.
target_compile_definitions(ramal_build_flags INTERFACE
  _GNU_SOURCE=
  RAMAL_BUILD_VERSION="${PROJECT_VERSION}"
  RAMAL_WITH_TCP=$<BOOL:${RAMAL_TCP}>)

include(RamalWarnings)
include(RamalSanitizers)
include(RamalHardening)

# ramal_quote_directories(TARGET PUBLIC|PRIVATE|INTERFACE DIR...)
#   Directories for #include "..." alone. With -I our proto/limits.h would stand in front of the
#   system's <limits.h>.
function(ramal_quote_directories target scope)
  foreach(dir IN LISTS ARGN)
    target_compile_options(${target} ${scope} "SHELL:-iquote \"${dir}\"")
  endforeach()
endfunction()
