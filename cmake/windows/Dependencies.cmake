# What Dependencies.cmake finds on Linux, from build/windows/deps (made by scripts/windows); and, in Find….cmake beside
# this file, what single rooms ask for with find_package.
add_compile_definitions(WIN32_LEAN_AND_MEAN NOMINMAX)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
find_package(Threads REQUIRED)
find_library(MBEDCRYPTO_LIB mbedcrypto REQUIRED)
find_library(MBEDX509_LIB mbedx509 REQUIRED)
find_library(HIDAPI_LIB hidapi REQUIRED)

set(KEYFERRY_SECURE_LIBS bcrypt advapi32)

# mbedTLS asks Windows for its entropy.
set(MBEDCRYPTO_LIB ${MBEDCRYPTO_LIB} bcrypt)

# Catch2's main, compiled once; Debian's library of this name is for Linux.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/catch_main.cc CONTENT "#define CATCH_CONFIG_MAIN\n#include <catch2/catch.hpp>\n")
add_library(Catch2WithMain STATIC ${CMAKE_BINARY_DIR}/catch_main.cc)
