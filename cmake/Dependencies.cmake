# Everything comes from Debian 12 (scripts/lib/packages.sh lists the packages); nothing is vendored.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
find_library(MBEDCRYPTO_LIB mbedcrypto REQUIRED)
find_library(MBEDX509_LIB mbedx509 REQUIRED)

add_library(keyferry_expected INTERFACE)  # tl::expected, header only
