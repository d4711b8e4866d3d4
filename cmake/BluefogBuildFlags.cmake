# Compiler settings shared by every target of the project, as the interface target bluefog_build_flags.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(BLUEFOG_CCACHE ccache)
if(BLUEFOG_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${BLUEFOG_CCACHE}")
endif()

# Every compiler has warnings of its own, about the standard library's code too; none may keep a user from building.
set(has_compiler_of_ci OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.")
  set(has_compiler_of_ci ON)
endif()
option(BLUEFOG_WARNINGS_ARE_ERRORS "Stop at warnings of the compiler" ${has_compiler_of_ci})

add_library(bluefog_build_flags INTERFACE)
# -ffp-contract=off: results must not depend on which multiply-adds a compiler chooses to fuse.
target_compile_options(bluefog_build_flags INTERFACE
  -Wall -Wextra -Wpedantic $<$<BOOL:${BLUEFOG_WARNINGS_ARE_ERRORS}>:-Werror> -ffp-contract=off -fno-math-errno)
# g++ warns about its own inlined library code at -O2 and above.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(bluefog_build_flags INTERFACE
    -Wno-error=array-bounds -Wno-error=stringop-overflow -Wno-error=restrict
    -Wno-error=maybe-uninitialized)
endif()
if(BLUEFOG_SANITIZE)
  target_compile_options(bluefog_build_flags INTERFACE
    -fsanitize=${BLUEFOG_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(bluefog_build_flags INTERFACE -fsanitize=${BLUEFOG_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented, it also takes the two ways in which asio gets the frames of coroutines for one.
    target_compile_options(bluefog_build_flags INTERFACE -Wno-error=mismatched-new-delete)
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND BLUEFOG_SANITIZE MATCHES "undefined")
    # What it puts before functions, clang 14 cannot put before the parts of coroutines.
    target_compile_options(bluefog_build_flags INTERFACE -fno-sanitize=function)
  endif()
  if(BLUEFOG_SANITIZE MATCHES "thread")
    # TSan models atomics, not stand-alone fences, and says so; the engine keeps an atomic access
    # beside each fence (see src/base/doorbell.cpp).
    target_compile_options(bluefog_build_flags INTERFACE -Wno-error=tsan)
  endif()
endif()
