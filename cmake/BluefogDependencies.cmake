# Third-party libraries; docs/dependencies.md says what each is for.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(spdlog REQUIRED)
# The log is a few lines of text; it is not worth a shared library that a wheel would have to carry.
if(TARGET fmt::fmt-header-only)
  set_property(TARGET spdlog::spdlog_header_only PROPERTY INTERFACE_LINK_LIBRARIES fmt::fmt-header-only Threads::Threads)
endif()
find_package(nlohmann_json 3.9 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS SSL Crypto)

find_path(BLUEFOG_ASIO_INCLUDE_DIR asio.hpp)
if(NOT BLUEFOG_ASIO_INCLUDE_DIR)
  message(FATAL_ERROR "standalone asio was not found: install libasio-dev")
endif()
add_library(bluefog_asio INTERFACE)
target_include_directories(bluefog_asio SYSTEM INTERFACE "${BLUEFOG_ASIO_INCLUDE_DIR}")
# Older asio finds out about coroutines by itself only where g++ compiles it.
target_compile_definitions(bluefog_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED
  ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_COROUTINE=1)
target_link_libraries(bluefog_asio INTERFACE Threads::Threads)
