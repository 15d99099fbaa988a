# TernCompile.cmake - the language, warnings, optimisation and sanitizers that hold for the whole tree.
# Nothing here is tuned to the machine that builds (no -march=native): one build must run everywhere.
include_guard(GLOBAL)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# CMake's Release is -O3 -DNDEBUG; -g1 adds the line numbers that a back trace needs and little size.
add_compile_options($<$<CONFIG:Release>:-g1>)
add_compile_options($<$<CONFIG:Release>:-ffunction-sections> $<$<CONFIG:Release>:-fdata-sections>)
add_link_options($<$<CONFIG:Release>:-Wl,--gc-sections> -Wl,--as-needed)
add_compile_definitions($<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS> TERN_VERSION="${PROJECT_VERSION}")

# Paths in messages (CHECK) and in release debug information start at the root of the tree, so that
# nothing of the building machine is in the product and a second checkout builds the same bytes.
set(TERN_PREFIX_MAP $<IF:$<CONFIG:Release>,-ffile-prefix-map,-fmacro-prefix-map>)
add_compile_options(${TERN_PREFIX_MAP}=${PROJECT_SOURCE_DIR}/=)

add_compile_options(
  -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wcast-align -Wpointer-arith
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond>)
# GCC 12 reports overlapping copies inside std::string that cannot happen (GCC bug 105651).
add_compile_options($<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
add_compile_options(
  "$<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor;-Woverloaded-virtual;-Wextra-semi;-Wredundant-move>")
option(TERN_WERROR "Treat warnings as errors" ON)
if(TERN_WERROR)
  add_compile_options(-Werror)
endif()

option(TERN_LTO "Optimise across translation units" OFF)
if(TERN_LTO)
  include(CheckIPOSupported)
  check_ipo_supported()
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()

set(TERN_SANITIZE "" CACHE STRING
    "Sanitizers for -fsanitize=, e.g. address,undefined or thread; empty for none")
if(TERN_SANITIZE)
  # Every finding ends the process: a test must not pass with a report somewhere in its log. Lines are
  # all that a report needs of debug information, and all of it would take a quarter of the build.
  add_compile_options(-Og -g1 -fno-omit-frame-pointer -fsanitize=${TERN_SANITIZE}
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TERN_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's flow warnings misjudge instrumented code; the release build has them on.
    add_compile_options(-Wno-maybe-uninitialized)
    if(TERN_SANITIZE MATCHES "thread")
      # atomic_thread_fence is not instrumented; fences here order memory shared between processes,
      # which this sanitizer does not follow anyway.
      add_compile_options(-Wno-tsan)
    endif()
  endif()
endif()

# Sources of a folder are compiled together, so many at a time, where compile time counts most. They keep to
# names that are unique within their folder, also in unnamed namespaces.
set(unity 0)
if(TERN_SANITIZE)
  set(unity 10)
endif()
set(TERN_UNITY ${unity} CACHE STRING "How many sources to compile as one; 0: each alone")
if(TERN_UNITY)
  add_compile_options(-Wno-subobject-linkage)  # Means sources that are included by others.
endif()
function(tern_compile_together target)
  if(TERN_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${TERN_UNITY})
  endif()
endfunction()

find_program(TERN_CCACHE ccache)
mark_as_advanced(TERN_CCACHE)
if(TERN_CCACHE)
  foreach(language C CXX)
    if(NOT CMAKE_${language}_COMPILER_LAUNCHER)
      # Precompiled headers change whenever one of theirs does, which is all that ccache need know.
      set(CMAKE_${language}_COMPILER_LAUNCHER
          env CCACHE_SLOPPINESS=pch_defines,time_macros ${TERN_CCACHE})
    endif()
  endforeach()
endif()
