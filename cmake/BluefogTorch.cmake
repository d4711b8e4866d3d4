# The target bluefog::torch, over the LibTorch in BLUEFOG_TORCH_PREFIX, for the tests and examples of the header-only
# front end. The core is built without it.
set(BLUEFOG_TORCH_PREFIX "" CACHE PATH "Folder of a LibTorch of 2.7 or newer (holds include and lib): builds what needs it")
if(NOT BLUEFOG_TORCH_PREFIX OR BLUEFOG_SANITIZE MATCHES "thread") # LibTorch is not instrumented
  return()
endif()

include(bluefog-libtorch)
bluefog_libtorch_version("${BLUEFOG_TORCH_PREFIX}" BLUEFOG_TORCH_VERSION)
if(NOT BLUEFOG_TORCH_VERSION) # a torch for Python alone
  message(WARNING "no headers of LibTorch in BLUEFOG_TORCH_PREFIX=${BLUEFOG_TORCH_PREFIX}: its tests and examples are left out")
  return()
endif()
if(BLUEFOG_TORCH_VERSION VERSION_LESS 2.7)
  message(WARNING "LibTorch ${BLUEFOG_TORCH_VERSION} is older than 2.7: its tests and examples are left out")
  return()
endif()

bluefog_add_libtorch(bluefog_libtorch "${BLUEFOG_TORCH_PREFIX}")
# One that was made by a newer compiler, as in conda, may want more of the standard library than this system has.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_LIBRARIES bluefog_libtorch)
check_cxx_source_compiles("int main() {}" BLUEFOG_LINKS_TORCH)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT BLUEFOG_LINKS_TORCH)
  message(WARNING "programs cannot be linked with the LibTorch in BLUEFOG_TORCH_PREFIX=${BLUEFOG_TORCH_PREFIX}: its tests and"
    " examples are left out")
  return()
endif()
add_library(bluefog_torch INTERFACE)
target_link_libraries(bluefog_torch INTERFACE bluefog::bluefog bluefog_libtorch)
add_library(bluefog::torch ALIAS bluefog_torch)
