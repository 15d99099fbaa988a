# TernTest.cmake - the functions that the folders of tests/ use to declare tests.
#
#   tern_unit_test(NAME name SOURCES files... [DEPENDS tern targets...] [LINK libraries...]
#                  [TIMEOUT seconds] [LABELS labels...])
#     A GoogleTest program (main included) that links the given targets and may include any header of
#     the tree. ctest name: unit.<name>.
#
#   tern_mpi_test(NAME name SOURCE file.c|file.cc NP counts... [ARGS args...] [ENV K=V...]
#                 [MPIEXEC_ARGS args...] [TIMEOUT seconds] [LABELS labels...])
#     An MPI program, built as a user builds one: it sees mpi.h and libmpi_abi.so and nothing else of
#     the tree. It runs under the built mpiexec once per count, passes when mpiexec exits with 0, and
#     is ended by mpiexec after TIMEOUT (default 60). ctest names: mpi.<name>.np<count>.
#     Declaring several runs of one program: call again with the same SOURCE and another NAME.
#
#   tern_script_test(NAME name COMMAND command... [TIMEOUT seconds] [LABELS labels...] [ENV K=V...])
#     Any other command; it passes when it exits with 0. The environment has TERN_TEST_PREFIX, the
#     build tree in the shape of an installed one. ctest name: <name of the folder>.<name>.
#
# Labels always include the name of the folder under tests/, so `ctest -L mpi` runs one kind. TIMEOUT is
# for a plain build on an idle machine; sanitizers get more (TERN_TEST_SLOWNESS).
include_guard(GLOBAL)
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)

if(TERN_SANITIZE MATCHES "thread")
  set(TERN_TEST_SLOWNESS 8)
elseif(TERN_SANITIZE)
  set(TERN_TEST_SLOWNESS 4)
else()
  set(TERN_TEST_SLOWNESS 1)
endif()

set(TERN_TEST_NP_MAX 0 CACHE STRING
    "Leave out runs of MPI tests with more ranks than this (0: leave out none)")

# What makes a sanitizer's report fail a test and readable in its log.
set(TERN_SANITIZER_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99"
    "LSAN_OPTIONS=report_objects=1"
    "UBSAN_OPTIONS=print_stacktrace=1:exitcode=99"
    "TSAN_OPTIONS=second_deadlock_stack=1:exitcode=99")
# UCX is not instrumented, and puts code of its own into functions of the C library: ThreadSanitizer
# reports its thread and does not survive its hooks.
if(TERN_SANITIZE MATCHES "thread")
  list(APPEND TERN_SANITIZER_ENVIRONMENT "TERN_FABRIC=shm,verbs")
endif()

# The tests may look at everything: an include root with every folder.
file(STRINGS ${TERN_LAYERS_FILE} layer_lines REGEX "^layer[ \t]+[^/]+$")
list(TRANSFORM layer_lines REPLACE "^layer[ \t]+([a-z_]+).*$" "\\1" OUTPUT_VARIABLE layer_folders)
tern_include_root(TERN_TESTS_INCLUDE_ROOT tests "${layer_folders};tests;bench" "")

function(_tern_test_properties test timeout labels environment)
  if(NOT timeout)
    set(timeout 60)
  endif()
  math(EXPR limit "${timeout} * ${TERN_TEST_SLOWNESS} + 30")
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME kind)
  if(TERN_SANITIZE)
    list(PREPEND environment ${TERN_SANITIZER_ENVIRONMENT})
  endif()
  list(PREPEND environment "TERN_TEST_PREFIX=${PROJECT_BINARY_DIR}")
  set_tests_properties(${test} PROPERTIES
    TIMEOUT ${limit} LABELS "${kind};${labels}" ENVIRONMENT "${environment}")
endfunction()

# Tests are for finding faults, not for speed: the compiler may take it easier, and with sanitizers,
# where it takes longest, it need not optimise them at all. The target tests_<folder> builds the
# programs of one folder of tests/ and all they need.
function(_tern_test_program target)
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME kind)
  if(NOT TARGET tests_${kind})
    add_custom_target(tests_${kind})
  endif()
  add_dependencies(tests_${kind} ${target})
  if(TERN_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  else()
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bin)
endfunction()

# GoogleTest's headers take longer to read than most tests: they are read once, for the first program,
# and all others use the result.
function(_tern_precompiled_headers target)
  get_property(owner GLOBAL PROPERTY TERN_PRECOMPILED_HEADERS)
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE
      <gtest/gtest.h> <gmock/gmock.h> <algorithm> <functional> <map> <memory> <string> <vector>)
    set_property(GLOBAL PROPERTY TERN_PRECOMPILED_HEADERS ${target})
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)  # ccache needs it.
  endif()
endfunction()

function(tern_unit_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT" "SOURCES;DEPENDS;LINK;LABELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tern_unit_test(${arg_NAME}): unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(target unit_${arg_NAME})
  add_executable(${target} ${arg_SOURCES})
  target_include_directories(${target} PRIVATE ${TERN_TESTS_INCLUDE_ROOT})
  target_link_libraries(${target} PRIVATE ${arg_DEPENDS} ${arg_LINK} GTest::gmock GTest::gtest_main
                                          Threads::Threads)
  tern_compile_together(${target})
  _tern_precompiled_headers(${target})
  _tern_test_program(${target})
  add_test(NAME unit.${arg_NAME} COMMAND ${target})
  _tern_test_properties(unit.${arg_NAME} "${arg_TIMEOUT}" "${arg_LABELS}" "")
endfunction()

function(tern_mpi_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;SOURCE;TIMEOUT"
                        "NP;ARGS;ENV;MPIEXEC_ARGS;LABELS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NP)
    message(FATAL_ERROR "tern_mpi_test(${arg_NAME}): NP missing, or unknown arguments: "
                        "${arg_UNPARSED_ARGUMENTS}")
  endif()
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME kind)
  cmake_path(GET arg_SOURCE STEM stem)
  set(target ${kind}_${stem})
  if(NOT TARGET ${target})
    add_executable(${target} ${arg_SOURCE})
    # Not a Tern target's include root: a user's program has mpi.h and nothing else. Nor are our
    # ideas of shadowing a user's.
    target_compile_options(${target} PRIVATE -Wno-shadow)
    target_include_directories(${target} PRIVATE ${TERN_BUILD_INCLUDEDIR})
    target_link_libraries(${target} PRIVATE mpi_abi Threads::Threads m)
    _tern_test_program(${target})
    add_dependencies(tests_${kind} mpiexec)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  math(EXPR job_timeout "${arg_TIMEOUT} * ${TERN_TEST_SLOWNESS}")
  foreach(np IN LISTS arg_NP)
    if(TERN_TEST_NP_MAX AND np GREATER TERN_TEST_NP_MAX)
      continue()
    endif()
    set(test ${kind}.${arg_NAME}.np${np})
    add_test(NAME ${test}
             COMMAND $<TARGET_FILE:mpiexec> -timeout ${job_timeout} -n ${np} ${arg_MPIEXEC_ARGS}
                     $<TARGET_FILE:${target}> ${arg_ARGS})
    _tern_test_properties(${test} ${arg_TIMEOUT} "${arg_LABELS}" "${arg_ENV}")
    # Ranks wait for each other: two jobs at once on the same cores would only measure the scheduler.
    set_tests_properties(${test} PROPERTIES PROCESSORS ${np})
  endforeach()
endfunction()

function(tern_script_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT" "COMMAND;LABELS;ENV")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tern_script_test(${arg_NAME}): unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME kind)
  add_test(NAME ${kind}.${arg_NAME} COMMAND ${arg_COMMAND})
  _tern_test_properties(${kind}.${arg_NAME} "${arg_TIMEOUT}" "${arg_LABELS}" "${arg_ENV}")
endfunction()
