# LibTorch as a target, from the folder that holds its include and lib. Not by torch's own package: where torch is built for
# CUDA, as the wheel that pip installs is, that asks for the whole CUDA toolkit.

# Sets `variable` to "major.minor" of the LibTorch in a folder, or to "" if there is none.
function(bluefog_libtorch_version folder variable)
  set(${variable} "" PARENT_SCOPE)
  set(header "${folder}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${header}") # an older one
    set(header "${folder}/include/torch/csrc/api/include/torch/version.h")
  endif()
  if(EXISTS "${header}")
    file(STRINGS "${header}" version REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
    string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*" "\\1." version "${version}")
    string(REGEX REPLACE "\\.$" "" version "${version}")
    set(${variable} "${version}" PARENT_SCOPE)
  endif()
endfunction()

function(bluefog_add_libtorch target folder)
  add_library(${target} INTERFACE IMPORTED)
  target_include_directories(${target} SYSTEM INTERFACE "${folder}/include" "${folder}/include/torch/csrc/api/include")
  target_link_directories(${target} INTERFACE "${folder}/lib")
  # libtorch.so is empty: it only names the others, those for CUDA too.
  target_link_options(${target} INTERFACE "-Wl,-rpath,${folder}/lib")
  target_link_libraries(${target} INTERFACE -Wl,--no-as-needed torch torch_cpu c10 -Wl,--as-needed)
endfunction()
