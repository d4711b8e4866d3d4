# The target bluefog::torch, over the LibTorch in BLUEFOG_TORCH_PREFIX, for the tests and examples of the header-only
# front end. The core is built without it. Not by torch's own package: where torch is built for CUDA, that asks for
# the whole CUDA toolkit.
set(BLUEFOG_TORCH_PREFIX "" CACHE PATH "Folder of a LibTorch of 2.7 or newer (holds include and lib): builds what needs it")
if(NOT BLUEFOG_TORCH_PREFIX OR BLUEFOG_SANITIZE MATCHES "thread") # LibTorch is not instrumented
  return()
endif()

find_file(BLUEFOG_TORCH_VERSION_FILE version.h NO_CACHE NO_DEFAULT_PATH
  PATHS "${BLUEFOG_TORCH_PREFIX}/include/torch" PATH_SUFFIXES headeronly csrc/api/include/torch)
if(NOT BLUEFOG_TORCH_VERSION_FILE)
  message(FATAL_ERROR "there is no LibTorch in BLUEFOG_TORCH_PREFIX=${BLUEFOG_TORCH_PREFIX}")
endif()
file(STRINGS "${BLUEFOG_TORCH_VERSION_FILE}" BLUEFOG_TORCH_VERSION REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*" "\\1." BLUEFOG_TORCH_VERSION "${BLUEFOG_TORCH_VERSION}")
string(REGEX REPLACE "\\.$" "" BLUEFOG_TORCH_VERSION "${BLUEFOG_TORCH_VERSION}")
if(BLUEFOG_TORCH_VERSION VERSION_LESS 2.7)
  message(WARNING "LibTorch ${BLUEFOG_TORCH_VERSION} is older than 2.7: its tests and examples are left out")
  return()
endif()

add_library(bluefog_libtorch INTERFACE)
target_include_directories(bluefog_libtorch SYSTEM INTERFACE
  "${BLUEFOG_TORCH_PREFIX}/include" "${BLUEFOG_TORCH_PREFIX}/include/torch/csrc/api/include")
target_link_directories(bluefog_libtorch INTERFACE "${BLUEFOG_TORCH_PREFIX}/lib")
# libtorch.so is empty: it only names the others.
target_link_libraries(bluefog_libtorch INTERFACE -Wl,--no-as-needed torch torch_cpu c10
  "-Wl,-rpath,${BLUEFOG_TORCH_PREFIX}/lib" -Wl,--as-needed)

add_library(bluefog_torch INTERFACE)
target_link_libraries(bluefog_torch INTERFACE bluefog::bluefog bluefog_libtorch)
add_library(bluefog::torch ALIAS bluefog_torch)
