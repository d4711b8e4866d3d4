# find_package(bluefog COMPONENTS torch). CMAKE_PREFIX_PATH must name the folder that Python's
# torch.utils.cmake_prefix_path says, or an unpacked LibTorch. A project that has found Torch itself has chosen.
include("${CMAKE_CURRENT_LIST_DIR}/bluefog-libtorch.cmake")

# The folder of a LibTorch that needs no package of its own; empty if there is none.
function(bluefog_find_libtorch variable)
  set(${variable} "" PARENT_SCOPE)
  string(REPLACE ":" ";" prefixes "$ENV{CMAKE_PREFIX_PATH}")
  foreach(prefix IN LISTS Torch_ROOT CMAKE_PREFIX_PATH prefixes)
    foreach(folder "${prefix}" "${prefix}/../..")
      bluefog_libtorch_version("${folder}" version)
      if(version VERSION_GREATER_EQUAL 2.7) # older ones may have an old std::string
        get_filename_component(folder "${folder}" REALPATH)
        set(${variable} "${folder}" PARENT_SCOPE)
        return()
      endif()
    endforeach()
  endforeach()
endfunction()

if(TARGET bluefog::torch)
  set(bluefog_torch_FOUND TRUE)
  return()
endif()

set(bluefog_libtorch_folder "")
if(NOT TARGET torch)
  bluefog_find_libtorch(bluefog_libtorch_folder)
endif()
if(bluefog_libtorch_folder)
  bluefog_add_libtorch(bluefog::libtorch "${bluefog_libtorch_folder}")
  set(bluefog_libtorch bluefog::libtorch)
else()
  find_package(Torch QUIET)
  set(bluefog_libtorch ${TORCH_LIBRARIES})
endif()

if(NOT bluefog_libtorch)
  set(bluefog_NOT_FOUND_MESSAGE "component torch needs LibTorch, which was not found")
elseif("${TORCH_CXX_FLAGS}" MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
  set(bluefog_NOT_FOUND_MESSAGE
    "component torch needs a LibTorch with C++11's std::string; that of ${TORCH_INSTALL_PREFIX} has the old one")
else()
  add_library(bluefog::torch INTERFACE IMPORTED)
  target_link_libraries(bluefog::torch INTERFACE bluefog::bluefog ${bluefog_libtorch})
  set(bluefog_torch_FOUND TRUE)
endif()
