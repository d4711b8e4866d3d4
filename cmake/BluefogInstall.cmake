# What `cmake --install` gives to C++ users: the library, its headers, and find_package(bluefog). bfrun is the tools' own.
include(CMakePackageConfigHelpers)
set(BLUEFOG_INSTALL_CONFIG_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/bluefog")

install(TARGETS bluefog EXPORT bluefog-targets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" "${PROJECT_BINARY_DIR}/include/"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT library FILES_MATCHING PATTERN "*.hpp")
install(EXPORT bluefog-targets NAMESPACE bluefog:: DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}" COMPONENT library)

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/bluefog-config.cmake.in"
  "${PROJECT_BINARY_DIR}/bluefog-config.cmake" INSTALL_DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/bluefog-config-version.cmake" COMPATIBILITY SameMajorVersion)
install(FILES "${PROJECT_BINARY_DIR}/bluefog-config.cmake" "${PROJECT_BINARY_DIR}/bluefog-config-version.cmake"
  DESTINATION "${BLUEFOG_INSTALL_CONFIG_DIR}" COMPONENT library)
