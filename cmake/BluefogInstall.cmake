# What `cmake --install` gives to C++ users: the libraries, the headers, find_package(bluefog), a pkg-config file, and
# the tools. Components: library (to run), development (to build), static, tools.
include(CMakePackageConfigHelpers)
if(SKBUILD)
  # In a wheel all of it lies inside the package; a wheel has no symbolic links, so the library has one name only.
  set(CMAKE_INSTALL_LIBDIR bluefog/lib)
  set(CMAKE_INSTALL_INCLUDEDIR bluefog/include)
  set_target_properties(bluefog PROPERTIES VERSION ${PROJECT_VERSION_MAJOR})
  set(BLUEFOG_NAMELINK NAMELINK_SKIP)
endif()
set(BLUEFOG_INSTALL_CONFIG_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/bluefog")
set(BLUEFOG_CONFIG_BUILD_DIR "${PROJECT_BINARY_DIR}/cmake")

install(TARGETS bluefog EXPORT bluefog-targets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library
  NAMELINK_COMPONENT development ${BLUEFOG_NAMELINK}
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" "${PROJECT_BINARY_DIR}/include/"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development FILES_MATCHING PATTERN "*.hpp")
install(EXPORT bluefog-targets NAMESPACE bluefog:: DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}" COMPONENT development)

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/bluefog-config.cmake.in"
  "${BLUEFOG_CONFIG_BUILD_DIR}/bluefog-config.cmake" INSTALL_DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}")
write_basic_package_version_file("${BLUEFOG_CONFIG_BUILD_DIR}/bluefog-config-version.cmake" COMPATIBILITY SameMajorVersion)
install(FILES
  "${BLUEFOG_CONFIG_BUILD_DIR}/bluefog-config.cmake"
  "${BLUEFOG_CONFIG_BUILD_DIR}/bluefog-config-version.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/bluefog-component-torch.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/bluefog-libtorch.cmake"
  DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}" COMPONENT development)

if(TARGET bluefog_archive)
  install(TARGETS bluefog_archive EXPORT bluefog-static-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT static
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT bluefog-static-targets NAMESPACE bluefog:: DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}" COMPONENT static)
  install(FILES "${PROJECT_SOURCE_DIR}/cmake/bluefog-component-static.cmake"
    DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}" COMPONENT static)
endif()

if(NOT SKBUILD)
  file(RELATIVE_PATH BLUEFOG_PREFIX_FROM_PC "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  configure_file("${PROJECT_SOURCE_DIR}/cmake/bluefog.pc.in" "${BLUEFOG_CONFIG_BUILD_DIR}/bluefog.pc" @ONLY)
  install(FILES "${BLUEFOG_CONFIG_BUILD_DIR}/bluefog.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT development)
endif()

# Installs a program of tools/ with its manual page.
function(bluefog_install_tool name)
  install(TARGETS ${name} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT tools)
  configure_file("${PROJECT_SOURCE_DIR}/docs/man/${name}.1.in" "${PROJECT_BINARY_DIR}/man/${name}.1" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/man/${name}.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT tools)
endfunction()
