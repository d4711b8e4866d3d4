# `cpack -G DEB` (make deb): Debian packages of what BluefogInstall.cmake installs, with the dependencies that dpkg-shlibdeps finds.
string(REPLACE ".dev" "~dev" BLUEFOG_DEBIAN_VERSION "${BLUEFOG_VERSION_FULL}") # older than the release
set(BLUEFOG_SONAME_PACKAGE "libbluefog${PROJECT_VERSION_MAJOR}")

set(CPACK_PACKAGE_NAME bluefog)
set(CPACK_PACKAGE_VERSION "${BLUEFOG_DEBIAN_VERSION}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_CONTACT "The BlueFog developers <bluefog@localhost>")
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_SOURCE_DIR}/dist")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)

# One package each: to run, to build, and the tools.
set(CPACK_COMPONENTS_ALL library development static tools)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_COMPONENT_STATIC_GROUP development)
foreach(package library development tools)
  string(TOUPPER ${package} PACKAGE)
  set(CPACK_COMPONENT_${PACKAGE}_GROUP ${package})
  set(CPACK_COMPONENT_${PACKAGE}_LICENSE_GROUP ${package})
  list(APPEND CPACK_COMPONENTS_ALL ${package}_license)
endforeach()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME "${BLUEFOG_SONAME_PACKAGE}")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "The shared library: every process averages its tensors with a few neighbours.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libbluefog-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${BLUEFOG_SONAME_PACKAGE} (= ${BLUEFOG_DEBIAN_VERSION})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS libssl-dev) # of the static library
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Headers, static library, and files for CMake and pkg-config.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME bluefog-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS openssh-client)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "The launcher bfrun, and bfsim, which tries out graphs with thousands of virtual processes.")

foreach(package library development tools)
  string(TOUPPER ${package} PACKAGE)
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" RENAME copyright COMPONENT ${package}_license
    DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/${CPACK_DEBIAN_${PACKAGE}_PACKAGE_NAME}")
endforeach()
include(CPack)
