# Everything comes from Debian 12 (scripts/lib/packages.sh lists the packages); nothing is vendored.
add_library(keyferry_expected INTERFACE)  # tl::expected, header only
if(WIN32)
  set(KEYFERRY_SYSTEM windows)  # of the pairs …_posix.cc and …_windows.cc
  include(${CMAKE_CURRENT_LIST_DIR}/windows/Dependencies.cmake)
  return()
endif()
set(KEYFERRY_SYSTEM posix)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(HIDAPI REQUIRED IMPORTED_TARGET hidapi-hidraw)
pkg_check_modules(LIBUSB REQUIRED IMPORTED_TARGET libusb-1.0)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(UDEV REQUIRED IMPORTED_TARGET libudev)
pkg_check_modules(SDBUS REQUIRED IMPORTED_TARGET sdbus-c++)
find_library(MBEDCRYPTO_LIB mbedcrypto REQUIRED)
find_library(MBEDX509_LIB mbedx509 REQUIRED)
set(KEYFERRY_SECURE_LIBS PkgConfig::SODIUM)
