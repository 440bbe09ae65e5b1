# SPDX-License-Identifier: MIT
#
# Hardening of optimised builds. Left out in debug builds (_FORTIFY_SOURCE needs the optimiser) and
# under sanitizers (they check the same, and better). Automatic variables are not zeroed
# (-ftrivial-auto-var-init): that costs time on the path of every message.
if(RAMAL_SANITIZE OR RAMAL_FUZZ OR RAMAL_COVERAGE)
  return()
endif()

include(CheckCCompilerFlag)
set(optimised $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)

# -U first: some distributions' compilers define it already, at another level.
target_compile_options(ramal_build_flags INTERFACE
  $<${optimised}:-U_FORTIFY_SOURCE>
  $<${optimised}:-D_FORTIFY_SOURCE=3>)

# clang only warns about a flag that its target does not have.
set(CMAKE_REQUIRED_FLAGS -Werror)
foreach(flag IN ITEMS
    -fstack-protector-strong
    -fstack-clash-protection
    -fcf-protection=full           # x86
    -mbranch-protection=standard)  # 64-bit Arm
  string(MAKE_C_IDENTIFIER "RAMAL_HAVE${flag}" have)
  check_c_compiler_flag(${flag} ${have})
  if(${have})
    target_compile_options(ramal_build_flags INTERFACE $<${optimised}:${flag}>)
  endif()
endforeach()
unset(CMAKE_REQUIRED_FLAGS)

target_link_options(ramal_build_flags INTERFACE
  $<${optimised}:LINKER:-z,relro,-z,now,-z,noexecstack>)
