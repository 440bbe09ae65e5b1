# SPDX-License-Identifier: MIT
#
# ramal_protobuf_c(TARGET FILE.proto...)
#   Compiles the files with protoc-c and adds the code to TARGET. The headers lie flat in one
#   directory ("name.pb-c.h"), which TARGET offers as a system include directory: generated code is
#   not ours to warn about.
find_program(PROTOC_C protoc-c REQUIRED)

function(ramal_protobuf_c target)
  set(out "${CMAKE_CURRENT_BINARY_DIR}/pb")
  file(MAKE_DIRECTORY "${out}")
  set(paths "")
  foreach(file IN LISTS ARGN)
    cmake_path(GET file PARENT_PATH dir)
    list(APPEND paths "-I${dir}")
  endforeach()
  list(REMOVE_DUPLICATES paths)
  foreach(file IN LISTS ARGN)
    cmake_path(GET file STEM name)
    add_custom_command(
      OUTPUT "${out}/${name}.pb-c.c" "${out}/${name}.pb-c.h"
      COMMAND "${PROTOC_C}" ${paths} "--c_out=${out}" "--dependency_out=${out}/${name}.d" "${file}"
      DEPENDS "${file}"
      DEPFILE "${out}/${name}.d"
      COMMENT "Generating ${name}.pb-c.c"
      VERBATIM)
    target_sources(${target} PRIVATE "${out}/${name}.pb-c.c" "${out}/${name}.pb-c.h")
  endforeach()
  target_include_directories(${target} SYSTEM PUBLIC "${out}")
  target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUF_C)
endfunction()
