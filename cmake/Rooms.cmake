# keyferry_room(NAME SOURCES ... LINKS ...): one static library a room, compiled with the house's flags.
function(keyferry_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(${name} PUBLIC ${ROOM_LINKS} PRIVATE keyferry_flags ${ROOM_PRIVATE_LINKS})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

# keyferry_program(NAME SOURCES ... LINKS ...): one executable in build/<preset>/bin.
function(keyferry_program name)
  cmake_parse_arguments(PROG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${PROG_SOURCES})
  target_link_libraries(${name} PRIVATE keyferry_flags ${PROG_LINKS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
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
