# Boost for Windows: the headers, and Boost.JSON compiled from them.
set(Boost_FOUND TRUE)
if(NOT TARGET Boost::json)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/boost_json.cc CONTENT "#include <boost/json/src.hpp>\n")
  add_library(boost_json STATIC ${CMAKE_BINARY_DIR}/boost_json.cc)
  target_compile_definitions(boost_json PUBLIC BOOST_JSON_STATIC_LINK BOOST_JSON_NO_LIB BOOST_CONTAINER_NO_LIB)
  add_library(Boost::json ALIAS boost_json)
endif()
