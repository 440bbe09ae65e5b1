# SPDX-License-Identifier: MIT
#
#   ramal_unit_test(NAME [SOURCES file...] [LIBS target...] [LABELS label...] [TIMEOUT seconds])
#     A cmocka program. SOURCES default to NAME.c.
#   ramal_python_test(NAME script [ARGS...] [LABELS label...] [TIMEOUT seconds])
#     A Python script that exits 0 when all is well. ramal_pb2 and api_pb2 (the generated protobuf
#     modules), tests/interop and tests/support are on its module path.
#   ramal_fuzz_target(NAME source [LIBS target...])
#     source defines LLVMFuzzerTestOneInput. With RAMAL_FUZZ it becomes a libFuzzer program,
#     otherwise it replays files; either way the test fuzz_replay_NAME runs all files of
#     tests/fuzz/corpus/NAME.
#
# A test finds the programs in its environment: RAMALD and RAMAL are their paths, RAMAL_EXAMPLES is the
# folder of the examples. Its working directory is the one of its CMakeLists.txt in the build tree.
# A test with the label "threads" also runs under the thread sanitizer. TIMEOUT is for an unhurried
# build on an idle machine; sanitizers get more. Whoever skips, fails.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
find_program(PROTOC protoc REQUIRED)
# The distribution's own Python: only that one sees the package python3-protobuf.
set(RAMAL_PYTHON "/usr/bin/python3" CACHE FILEPATH "Python that runs the tests")

set(RAMAL_TEST_TIMEOUT_FACTOR 1)
if(RAMAL_SANITIZE OR RAMAL_COVERAGE)
  set(RAMAL_TEST_TIMEOUT_FACTOR 4)
endif()

# Sets what all tests share. labels may be empty.
function(ramal_test_properties name timeout labels)
  math(EXPR timeout "${timeout} * ${RAMAL_TEST_TIMEOUT_FACTOR}")
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${timeout}
    LABELS "${labels}"
    # What cmocka and Python's unittest say when they skip.
    FAIL_REGULAR_EXPRESSION "\\[  SKIPPED \\];skipped=[1-9]"
    # Nothing of the caller's own bus or service manager may leak into a test.
    ENVIRONMENT_MODIFICATION "RAMAL_ADDRESS=unset:;LISTEN_PID=unset:;LISTEN_FDS=unset:;NOTIFY_SOCKET=unset:")
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
    "ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=halt_on_error=1"
    "RAMAL_EXAMPLES=${PROJECT_BINARY_DIR}/examples")
  if(TARGET ramald)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "RAMALD=$<TARGET_FILE:ramald>")
  endif()
  if(TARGET ramal_cmd)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "RAMAL=$<TARGET_FILE:ramal_cmd>")
  endif()
endfunction()

function(ramal_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LIBS;LABELS")
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${name}.c)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} PkgConfig::CMOCKA ramal_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
  add_test(NAME ${name} COMMAND ${name})
  ramal_test_properties(${name} ${arg_TIMEOUT} "${arg_LABELS}")
endfunction()

function(ramal_python_test name script)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  cmake_path(ABSOLUTE_PATH script BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND "${RAMAL_PYTHON}" "${script}" ${arg_UNPARSED_ARGUMENTS})
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
    "PYTHONDONTWRITEBYTECODE=1"
    "PYTHONPATH=${RAMAL_PYTHON_PB}:${PROJECT_SOURCE_DIR}/tests/interop:${PROJECT_SOURCE_DIR}/tests/support")
  ramal_test_properties(${name} ${arg_TIMEOUT} "${arg_LABELS}")
endfunction()

function(ramal_fuzz_target name source)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "LIBS")
  set(target fuzz_${name})
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE ${arg_LIBS} ramal_flags)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
  # The entry point has no prototype in any header.
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
  if(RAMAL_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz_replay_${name} COMMAND ${target} -runs=0 "${corpus}")
  else()
    target_link_libraries(${target} PRIVATE ramal_replay_main)
    add_test(NAME fuzz_replay_${name} COMMAND ${target} "${corpus}")
  endif()
  ramal_test_properties(fuzz_replay_${name} 60 "")
endfunction()

# Google's view of our messages, for the Python tests.
set(RAMAL_PYTHON_PB "${PROJECT_BINARY_DIR}/tests/python")
file(MAKE_DIRECTORY "${RAMAL_PYTHON_PB}")
foreach(file IN ITEMS proto/ramal.proto include/ramal/api.proto)
  cmake_path(GET file STEM name)
  cmake_path(GET file PARENT_PATH dir)
  add_custom_command(
    OUTPUT "${RAMAL_PYTHON_PB}/${name}_pb2.py"
    COMMAND "${PROTOC}" "-I${PROJECT_SOURCE_DIR}/${dir}" -I${PROJECT_SOURCE_DIR}/proto
            "--python_out=${RAMAL_PYTHON_PB}" "${PROJECT_SOURCE_DIR}/${file}"
    DEPENDS "${PROJECT_SOURCE_DIR}/${file}"
    COMMENT "Generating ${name}_pb2.py"
    VERBATIM)
  list(APPEND python_pb "${RAMAL_PYTHON_PB}/${name}_pb2.py")
endforeach()
add_custom_target(ramal_python_pb ALL DEPENDS ${python_pb})
