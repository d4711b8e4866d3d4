# The target bluefog::torch, over the LibTorch in BLUEFOG_TORCH_PREFIX, for the tests and examples of the header-only
# front end. The core is built without it.
set(BLUEFOG_TORCH_PREFIX "" CACHE PATH "Folder of a LibTorch of 2.7 or newer (holds include and lib): builds what needs it")
if(NOT BLUEFOG_TORCH_PREFIX OR BLUEFOG_SANITIZE MATCHES "thread") # LibTorch is not instrumented
  return()
endif()

include(bluefog-libtorch)
bluefog_libtorch_version("${BLUEFOG_TORCH_PREFIX}" BLUEFOG_TORCH_VERSION)
if(NOT BLUEFOG_TORCH_VERSION)
  message(FATAL_ERROR "there is no LibTorch in BLUEFOG_TORCH_PREFIX=${BLUEFOG_TORCH_PREFIX}")
endif()
if(BLUEFOG_TORCH_VERSION VERSION_LESS 2.7)
  message(WARNING "LibTorch ${BLUEFOG_TORCH_VERSION} is older than 2.7: its tests and examples are left out")
  return()
endif()

bluefog_add_libtorch(bluefog_libtorch "${BLUEFOG_TORCH_PREFIX}")
add_library(bluefog_torch INTERFACE)
target_link_libraries(bluefog_torch INTERFACE bluefog::bluefog bluefog_libtorch)
add_library(bluefog::torch ALIAS bluefog_torch)
