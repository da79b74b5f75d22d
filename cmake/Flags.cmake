# Language, warnings (always errors), hardening and sanitizers: one interface target for every room.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
option(KEYFERRY_HARDEN "Compile and link with the hardening flags of docs/security.md" OFF)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(keyferry_flags INTERFACE)
target_compile_options(keyferry_flags INTERFACE
  -Wall -Wextra -Wformat=2 -Werror=format-security -Wconversion -Wsign-conversion -Wimplicit-fallthrough
  -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -fstack-protector-strong -fno-delete-null-pointer-checks -fno-strict-aliasing)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(keyferry_flags INTERFACE -Wtrampolines)
endif()
target_compile_definitions(keyferry_flags INTERFACE _GLIBCXX_ASSERTIONS)
target_include_directories(keyferry_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_link_options(keyferry_flags INTERFACE -Wl,--as-needed)
if(WIN32)
  target_link_options(keyferry_flags INTERFACE -fstack-protector-strong)  # its run-time part
endif()

if(KEYFERRY_HARDEN)
  target_compile_options(keyferry_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-clash-protection -fcf-protection=full
    -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr -fno-strict-overflow)
  target_link_options(keyferry_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,-z,defs)
endif()

if(KEYFERRY_SANITIZE)
  target_compile_options(keyferry_flags INTERFACE -fsanitize=${KEYFERRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(keyferry_flags INTERFACE -fsanitize=${KEYFERRY_SANITIZE})
endif()
if(KEYFERRY_FUZZ)
  target_compile_options(keyferry_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(keyferry_flags INTERFACE -fsanitize=address,undefined)
endif()
