# CLI11 for Windows: headers alone.
set(CLI11_FOUND TRUE)
if(NOT TARGET CLI11::CLI11)
  add_library(CLI11::CLI11 INTERFACE IMPORTED)
endif()
