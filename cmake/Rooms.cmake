# Rooms with failpoints (protocol/failpoint.h). They are compiled twice, as they ship and with the failpoints, and the programs of
# `scripts/test faults` (target failpoints) are linked of these and of all that ships. Those of release are not optimized, which
# halves the time to build them.
set(KEYFERRY_FAILPOINT_ROOMS keyferry_core keyferry_directory keyferry_storage keyferry_daemon_core keyferry_flash keyferry_sim_endpoint)
add_custom_target(failpoints)
if(NOT WIN32)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/failpoints)
  foreach(beside_bin lib share)
    file(CREATE_LINK ../${beside_bin} ${PROJECT_BINARY_DIR}/failpoints/${beside_bin} SYMBOLIC)
  endforeach()
endif()

# OUT: LINKS, each room with failpoints as a choice that is made by the program at the end of the chain: with or without.
function(keyferry_links out)
  set(links "")
  foreach(link IN LISTS ARGN)
    if(link IN_LIST KEYFERRY_FAILPOINT_ROOMS)
      string(CONCAT link "$<IF:$<BOOL:$<TARGET_PROPERTY:KEYFERRY_FAILPOINTS>>," "${link}_failpoints,${link}>")
    endif()
    list(APPEND links "${link}")
  endforeach()
  set(${out} "${links}" PARENT_SCOPE)
endfunction()

# keyferry_room(NAME SOURCES ... LINKS ...): one static library a room, compiled with the house's flags.
function(keyferry_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  keyferry_links(links ${ROOM_LINKS})
  keyferry_links(private_links ${ROOM_PRIVATE_LINKS})
  set(libraries ${name})
  if(name IN_LIST KEYFERRY_FAILPOINT_ROOMS)
    list(APPEND libraries ${name}_failpoints)
    add_library(${name}_failpoints STATIC EXCLUDE_FROM_ALL ${ROOM_SOURCES})
    target_compile_definitions(${name}_failpoints PRIVATE KEYFERRY_FAILPOINTS)
    target_compile_options(${name}_failpoints PRIVATE $<$<CONFIG:Release>:-O0> $<$<CONFIG:Release>:-Wno-cpp>)
  endif()
  add_library(${name} STATIC ${ROOM_SOURCES})
  foreach(library IN LISTS libraries)
    target_link_libraries(${library} PUBLIC ${links} PRIVATE keyferry_flags ${private_links})
    target_include_directories(${library} PUBLIC ${PROJECT_SOURCE_DIR})
  endforeach()
endfunction()

# keyferry_program(NAME [FAILPOINTS] SOURCES ... LINKS ...): one executable in build/<preset>/bin. FAILPOINTS: and one of the same objects,
# linked with the rooms that have failpoints, in build/<preset>/failpoints/bin.
function(keyferry_program name)
  cmake_parse_arguments(PROG "FAILPOINTS" "" "SOURCES;LINKS" ${ARGN})
  keyferry_links(links ${PROG_LINKS})
  add_executable(${name} ${PROG_SOURCES})
  target_link_libraries(${name} PRIVATE keyferry_flags ${links})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  if(PROG_FAILPOINTS)
    add_executable(${name}_failpoints EXCLUDE_FROM_ALL $<TARGET_OBJECTS:${name}>)
    target_link_libraries(${name}_failpoints PRIVATE keyferry_flags ${links})
    set_target_properties(${name}_failpoints PROPERTIES KEYFERRY_FAILPOINTS ON LINKER_LANGUAGE CXX
      OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/failpoints/bin)
    add_dependencies(failpoints ${name}_failpoints)
  endif()
endfunction()

# keyferry_test(NAME LABEL unit|integration [POSTGRES] SOURCES ... LINKS ...): one Catch2 program, one ctest entry. POSTGRES: it runs
# on a PostgreSQL server of its own.
function(keyferry_test name)
  cmake_parse_arguments(TEST "POSTGRES" "LABEL;TIMEOUT" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE keyferry_flags ${TEST_LINKS} Catch2WithMain)
  target_compile_definitions(${name} PRIVATE KEYFERRY_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(TEST_POSTGRES)
    add_test(NAME ${name} COMMAND ${PROJECT_SOURCE_DIR}/scripts/pg run $<TARGET_FILE:${name}>)
  else()
    add_test(NAME ${name} COMMAND ${name})
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABEL}" TIMEOUT ${TEST_TIMEOUT})
endfunction()

# keyferry_postgres_test(NAME): NAME's program once more, on a PostgreSQL server of its own, as integration test NAME_postgres.
function(keyferry_postgres_test name)
  add_test(NAME ${name}_postgres COMMAND ${PROJECT_SOURCE_DIR}/scripts/pg run $<TARGET_FILE:${name}>)
  set_tests_properties(${name}_postgres PROPERTIES LABELS integration TIMEOUT 300)
endfunction()
