# find_package(seglift) gives the target seglift::seglift, which links the library, and
# seglift::loader, which brings the headers for programs that load it at run time.
get_filename_component(_seglift_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET seglift::seglift)
  find_library(SEGLIFT_LIBRARY seglift HINTS "${_seglift_prefix}/lib" NO_DEFAULT_PATH REQUIRED)
  add_library(seglift::seglift SHARED IMPORTED)
  set_target_properties(seglift::seglift PROPERTIES
    IMPORTED_LOCATION "${SEGLIFT_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${_seglift_prefix}/include")

  add_library(seglift::loader INTERFACE IMPORTED)
  set_target_properties(seglift::loader PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_seglift_prefix}/include"
    INTERFACE_LINK_LIBRARIES "${CMAKE_DL_LIBS}")
endif()
