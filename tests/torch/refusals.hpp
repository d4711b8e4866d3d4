#pragma once
/// @file refusals.hpp  Expecting that a call is refused, and says why.

#include <string>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

namespace bluefog::test {

/// The call throws InvalidArgument with this part in its text.
void expect_refused(const std::string& part, const auto& call) {
  try {
    call();
    ADD_FAILURE() << "no error with " << part;
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace bluefog::test
