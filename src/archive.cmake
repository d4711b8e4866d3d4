# The static library for C++ users: one object that shows the API only. An archive of our objects would also give a program our asio
# and our spdlog, beside or in place of its own.
execute_process(COMMAND "${CMAKE_LINKER}" --version OUTPUT_VARIABLE BLUEFOG_LINKER ERROR_QUIET)
if(NOT BLUEFOG_LINKER MATCHES "GNU ld" OR NOT CMAKE_OBJCOPY OR BLUEFOG_SANITIZE)
  return()
endif()

set(BLUEFOG_MERGED "${CMAKE_CURRENT_BINARY_DIR}/merged.o")
set(BLUEFOG_ARCHIVED "${CMAKE_CURRENT_BINARY_DIR}/bluefog.o")
add_custom_command(OUTPUT "${BLUEFOG_ARCHIVED}"
  # Without groups, as a program's copy of an inline function must not replace ours, whose name is ours alone now.
  COMMAND "${CMAKE_LINKER}" -r --force-group-allocation -o "${BLUEFOG_MERGED}" $<TARGET_OBJECTS:bluefog_objects>
  COMMAND "${CMAKE_OBJCOPY}" --localize-hidden --wildcard
    --keep-global-symbol=_ZN7bluefog* --keep-global-symbol=_ZNK7bluefog* --keep-global-symbol=_ZT[VIS]N7bluefog* # as in bluefog.map
    "${BLUEFOG_MERGED}" "${BLUEFOG_ARCHIVED}"
  DEPENDS bluefog_objects $<TARGET_OBJECTS:bluefog_objects>
  COMMAND_EXPAND_LISTS VERBATIM)
add_library(bluefog_archive STATIC "${BLUEFOG_ARCHIVED}")
set_source_files_properties("${BLUEFOG_ARCHIVED}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
set_target_properties(bluefog_archive PROPERTIES LINKER_LANGUAGE CXX OUTPUT_NAME bluefog EXPORT_NAME bluefog_static)
target_link_libraries(bluefog_archive PRIVATE OpenSSL::SSL OpenSSL::Crypto PUBLIC Threads::Threads)
target_compile_features(bluefog_archive PUBLIC cxx_std_20)
target_include_directories(bluefog_archive PUBLIC
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include;${PROJECT_BINARY_DIR}/include>")
add_library(bluefog::bluefog_static ALIAS bluefog_archive)
