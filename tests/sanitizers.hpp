#pragma once
/// @file sanitizers.hpp  Which sanitizers this build runs under.

namespace bluefog::test {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BLUEFOG_TEST_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define BLUEFOG_TEST_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__) || defined(BLUEFOG_TEST_TSAN)
inline constexpr bool is_thread_sanitized = true;
#else
inline constexpr bool is_thread_sanitized = false;
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(BLUEFOG_TEST_ASAN)
inline constexpr bool is_address_sanitized = true;
#else
inline constexpr bool is_address_sanitized = false;
#endif

inline constexpr bool is_sanitized = is_thread_sanitized || is_address_sanitized;

}  // namespace bluefog::test
