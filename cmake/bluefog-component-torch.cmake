# find_package(bluefog COMPONENTS torch). CMAKE_PREFIX_PATH must name the folder that Python's
# torch.utils.cmake_prefix_path says, or an unpacked LibTorch.
find_package(Torch QUIET)
if(NOT Torch_FOUND)
  set(bluefog_NOT_FOUND_MESSAGE "component torch needs LibTorch, which was not found")
elseif("${TORCH_CXX_FLAGS}" MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
  set(bluefog_NOT_FOUND_MESSAGE
    "component torch needs a LibTorch with C++11's std::string; that of ${TORCH_INSTALL_PREFIX} has the old one")
else()
  if(NOT TARGET bluefog::torch)
    add_library(bluefog::torch INTERFACE IMPORTED)
    target_link_libraries(bluefog::torch INTERFACE bluefog::bluefog ${TORCH_LIBRARIES})
  endif()
  set(bluefog_torch_FOUND TRUE)
endif()
