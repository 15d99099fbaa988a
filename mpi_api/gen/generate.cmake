# generate.cmake - build rules that turn the description of the MPI API (mpi_api/api) into sources.
#
#   tern_generate_api(SOURCES <variable> HEADERS <variable> EXPORTS <variable>
#                     OUT <folder> INCLUDE <folder>)
#
# OUT gets impl.h, error_classes.inc, entries_*.cc, exports.map and functions.json; INCLUDE gets mpi.h and nothing else,
# so that it can be on users' include paths. A target that includes mpi.h without compiling the
# entries depends on the target tern_generated_api.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)

set(TERN_GENERATOR_DIR ${CMAKE_CURRENT_LIST_DIR})

function(tern_generate_api)
  cmake_parse_arguments(arg "" "SOURCES;HEADERS;EXPORTS;OUT;INCLUDE" "" ${ARGN})
  file(GLOB descriptions CONFIGURE_DEPENDS ${TERN_GENERATOR_DIR}/../api/*.api)
  file(GLOB scripts CONFIGURE_DEPENDS ${TERN_GENERATOR_DIR}/*.py)
  set(command ${Python3_EXECUTABLE} -B ${TERN_GENERATOR_DIR}/generate.py
      --api ${TERN_GENERATOR_DIR}/../api --out ${arg_OUT} --include ${arg_INCLUDE})

  # The names of the outputs depend on the chapters only. A mistake inside a file must not stop the
  # configuration: the build then shows it, like an error of a compiler.
  set(outputs ${arg_INCLUDE}/mpi.h ${arg_OUT}/impl.h
      ${arg_OUT}/error_classes.inc ${arg_OUT}/exports.map ${arg_OUT}/functions.json)
  set(sources)
  foreach(description ${descriptions})
    file(STRINGS ${description} chapter REGEX "^chapter " LIMIT_COUNT 1)
    if(chapter)
      cmake_path(GET description STEM stem)
      list(APPEND sources ${arg_OUT}/entries_${stem}.cc)
    endif()
  endforeach()

  # generate.py leaves files alone whose text stays the same; the stamp records that it ran.
  add_custom_command(
    OUTPUT ${arg_OUT}/generated.stamp
    BYPRODUCTS ${outputs} ${sources}
    COMMAND ${command}
    COMMAND ${CMAKE_COMMAND} -E touch ${arg_OUT}/generated.stamp
    DEPENDS ${descriptions} ${scripts}
    COMMENT "Generating mpi.h and the MPI entry points"
    VERBATIM)
  add_custom_target(tern_generated_api DEPENDS ${arg_OUT}/generated.stamp)

  set(${arg_SOURCES} ${sources} PARENT_SCOPE)
  set(${arg_HEADERS} ${arg_INCLUDE}/mpi.h ${arg_OUT}/impl.h PARENT_SCOPE)
  set(${arg_EXPORTS} ${arg_OUT}/exports.map PARENT_SCOPE)
endfunction()
