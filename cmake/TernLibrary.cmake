# TernLibrary.cmake - the functions every folder's CMakeLists.txt uses to declare what it builds.
#
#   tern_library(TARGET [OBJECT] [FOLDER folder] [SOURCES files...] [DEPENDS tern targets...]
#                [LINK libraries...] [INCLUDE directories...])
#     A library made of this folder's sources (default: *.cc of the folder, found again whenever one
#     is added). STATIC unless OBJECT. DEPENDS are targets of other folders, LINK are libraries from
#     outside. Sources include by the path from the root of the tree ("core/check.h") and find only
#     the folders that cmake/layers.txt allows this folder; INCLUDE adds directories of generated
#     headers. FOLDER is needed only when the CMakeLists.txt is not in the folder itself.
#
#   tern_program(TARGET [FOLDER folder] SOURCES files... [DEPENDS ...] [LINK ...] [INCLUDE ...])
#     The same for an executable that users run: built into <build>/bin, installed into bin/, and
#     finding <prefix>/lib by its own place, so that it runs from the build tree and from a moved one.
#
# Example (shm/CMakeLists.txt):
#   tern_library(tern_shm DEPENDS tern_core)
#
# How the direction is enforced: each target gets an include root of its own, a directory in the build
# tree that holds symbolic links to the permitted folders and nothing else. What is not linked there
# cannot be included, so the compiler itself reports a wrong dependency.
include_guard(GLOBAL)

set(TERN_LAYERS_FILE ${PROJECT_SOURCE_DIR}/cmake/layers.txt)
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
             ${TERN_LAYERS_FILE})

# Sets <out> to the list that layers.txt gives for `word subject`, and <out>_FOUND to whether there is one.
function(tern_layers_lookup word subject out)
  file(STRINGS ${TERN_LAYERS_FILE} lines REGEX "^${word}[ \t]")
  set(found FALSE)
  set(result "")
  foreach(line IN LISTS lines)
    separate_arguments(fields UNIX_COMMAND "${line}")
    list(POP_FRONT fields line_word line_subject)
    if(line_subject STREQUAL subject)
      set(found TRUE)
      list(APPEND result ${fields})
    endif()
  endforeach()
  set(${out} "${result}" PARENT_SCOPE)
  set(${out}_FOUND ${found} PARENT_SCOPE)
endfunction()

# Makes <root> hold exactly the links named in the list `wanted` of "name=target" entries. Links that
# are right already stay untouched: a compiler may be running.
function(_tern_fill_links root wanted)
  file(MAKE_DIRECTORY ${root})
  set(names "")
  foreach(entry IN LISTS wanted)
    string(REGEX MATCH "^([^=]+)=(.+)$" _ "${entry}")
    set(name ${CMAKE_MATCH_1})
    set(target ${CMAKE_MATCH_2})
    list(APPEND names ${name})
    set(present "")
    if(IS_SYMLINK ${root}/${name})
      file(READ_SYMLINK ${root}/${name} present)
    elseif(EXISTS ${root}/${name})
      file(REMOVE_RECURSE ${root}/${name})
    endif()
    if(NOT present STREQUAL target)
      file(CREATE_LINK ${target} ${root}/${name} SYMBOLIC)
    endif()
  endforeach()
  file(GLOB present_names RELATIVE ${root} ${root}/*)
  foreach(name IN LISTS present_names)
    if(NOT name IN_LIST names)
      file(REMOVE_RECURSE ${root}/${name})
    endif()
  endforeach()
endfunction()

# Sets <out> to an include root called <name> that shows all headers of the folders `own` and the
# public headers of the folders `others`. Folders that do not exist are left out.
function(tern_include_root out name own others)
  set(root ${PROJECT_BINARY_DIR}/include-roots/${name})
  set(links "")
  foreach(folder IN LISTS own others)
    if(NOT IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${folder})
      continue()
    endif()
    tern_layers_lookup(public ${folder} headers)
    if(headers_FOUND AND NOT folder IN_LIST own)
      set(header_links "")
      foreach(header IN LISTS headers)
        list(APPEND header_links ${header}=${PROJECT_SOURCE_DIR}/${folder}/${header})
      endforeach()
      set(public_dir ${PROJECT_BINARY_DIR}/include-roots/public/${folder})
      _tern_fill_links(${public_dir} "${header_links}")
      list(APPEND links ${folder}=${public_dir})
    else()
      list(APPEND links ${folder}=${PROJECT_SOURCE_DIR}/${folder})
    endif()
  endforeach()
  _tern_fill_links(${root} "${links}")
  set(${out} ${root} PARENT_SCOPE)
endfunction()

# The part that libraries and programs share: include root, the folder's extra files, linking.
function(_tern_target target folder sources depends link include)
  tern_layers_lookup(layer ${folder} allowed)
  if(NOT allowed_FOUND)
    message(FATAL_ERROR "${folder}/ is not in cmake/layers.txt; say there what it may include")
  endif()
  tern_include_root(root ${folder} ${folder} "${allowed}")
  target_include_directories(${target} PRIVATE ${root} ${include})
  target_compile_options(${target} PRIVATE ${TERN_PREFIX_MAP}=${root}/=)
  set_target_properties(${target} PROPERTIES TERN_FOLDER ${folder})

  set(linkable ${folder} ${allowed})
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source OUTPUT_VARIABLE path)
    cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
    tern_layers_lookup(layer ${path} extra)
    if(extra_FOUND)
      string(MAKE_C_IDENTIFIER ${path} extra_name)
      tern_include_root(extra_root ${extra_name} "" "${extra}")
      set_property(SOURCE ${source} APPEND PROPERTY INCLUDE_DIRECTORIES ${extra_root})
      list(APPEND linkable ${extra})
    endif()
  endforeach()

  foreach(dependency IN LISTS depends)
    if(NOT TARGET ${dependency})
      message(FATAL_ERROR "${target} depends on ${dependency}, which no folder added before "
                          "${folder}/ builds (see the order in the top CMakeLists.txt)")
    endif()
    get_target_property(dependency_folder ${dependency} TERN_FOLDER)
    if(dependency_folder AND NOT dependency_folder IN_LIST linkable)
      message(FATAL_ERROR "${folder}/ must not depend on ${dependency_folder}/ (${target} links "
                          "${dependency}): cmake/layers.txt allows only: ${linkable}")
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE ${depends} ${link})
  tern_compile_together(${target})
endfunction()

macro(_tern_parse_target_arguments)
  cmake_parse_arguments(arg "OBJECT" "FOLDER" "SOURCES;DEPENDS;LINK;INCLUDE" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${target}: unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_FOLDER)
    cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_SOURCE_DIR}
               OUTPUT_VARIABLE arg_FOLDER)
  endif()
endmacro()

function(tern_library target)
  _tern_parse_target_arguments(${ARGN})
  if(NOT arg_SOURCES)
    file(GLOB arg_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${arg_FOLDER}/*.cc)
  endif()
  if(arg_OBJECT)
    add_library(${target} OBJECT ${arg_SOURCES})
  else()
    add_library(${target} STATIC ${arg_SOURCES})
  endif()
  _tern_target(${target} ${arg_FOLDER} "${arg_SOURCES}" "${arg_DEPENDS}" "${arg_LINK}"
               "${arg_INCLUDE}")
endfunction()

function(tern_program target)
  _tern_parse_target_arguments(${ARGN})
  add_executable(${target} ${arg_SOURCES})
  _tern_target(${target} ${arg_FOLDER} "${arg_SOURCES}" "${arg_DEPENDS}" "${arg_LINK}"
               "${arg_INCLUDE}")
  tern_install(${target})
endfunction()

# Installs an executable or shared library that users see, and makes it find its libraries by its own
# place in the build tree as well as in an installed one: both have bin/ beside lib/.
function(tern_install target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  else()
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
  endif()
  set_target_properties(${target} PROPERTIES
    BUILD_WITH_INSTALL_RPATH ON
    RUNTIME_OUTPUT_DIRECTORY ${TERN_BUILD_BINDIR}
    LIBRARY_OUTPUT_DIRECTORY ${TERN_BUILD_LIBDIR})
  install(TARGETS ${target} RUNTIME DESTINATION bin LIBRARY DESTINATION lib
          ARCHIVE DESTINATION lib)
endfunction()
