# Windows (x86-64) from Debian, with g++-mingw-w64-x86-64-posix. scripts/windows builds the libraries into
# build/windows/deps first; the tests run under Wine with a prefix of their own. docs/windows.md
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)

get_filename_component(KEYFERRY_WINDOWS_OUT "${CMAKE_CURRENT_LIST_DIR}/../build/windows" ABSOLUTE)
set(CMAKE_FIND_ROOT_PATH "${KEYFERRY_WINDOWS_OUT}/deps")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Nothing of the build machine's own headers: deps/include holds what is the same on every system.
include_directories(SYSTEM "${KEYFERRY_WINDOWS_OUT}/deps/include")

# Windows 10 and later. One file a program: no DLL of the compiler has to travel with it.
add_compile_definitions(_WIN32_WINNT=0x0A00 WINVER=0x0A00)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")

set(CMAKE_CROSSCOMPILING_EMULATOR
    env "WINEPREFIX=${KEYFERRY_WINDOWS_OUT}/wine" WINEDEBUG=-all "WINEDLLOVERRIDES=mscoree,mshtml=" DISPLAY= wine)
