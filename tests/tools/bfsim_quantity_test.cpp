// Numbers with units, as users write them.

#include <gtest/gtest.h>

#include "quantity.hpp"

namespace bfsim {
namespace {

TEST(Quantity, IsANumberWithAUnit) {
  EXPECT_DOUBLE_EQ(parse_quantity("150ms", time_units()).value(), 0.15);
  EXPECT_DOUBLE_EQ(parse_quantity("2.5 us", time_units()).value(), 2.5e-6);
  EXPECT_DOUBLE_EQ(parse_quantity("25Gbps", rate_units()).value(), 3.125e9);
  EXPECT_DOUBLE_EQ(parse_quantity("25GBps", rate_units()).value(), 25e9);
  EXPECT_DOUBLE_EQ(parse_quantity("3KiB", size_units()).value(), 3072);
  EXPECT_DOUBLE_EQ(parse_quantity("1e3kB", size_units()).value(), 1e6);
}

TEST(Quantity, WithoutAUnitIsInTheFirst) {
  EXPECT_DOUBLE_EQ(parse_quantity("0.15", time_units()).value(), 0.15);
  EXPECT_DOUBLE_EQ(parse_quantity("-3", time_units()).value(), -3);
}

TEST(Quantity, KeepsAllDigits) {
  EXPECT_EQ(parse_quantity("123456789B", size_units()), 123456789.0);
}

TEST(Quantity, IsNothingElse) {
  for (const char* text : {"", "ms", "five", "5 min", "5ms later", "5 MS", "nan", "inf", "1e400", "--5"}) {
    EXPECT_FALSE(parse_quantity(text, time_units()).has_value()) << text;
  }
}

TEST(Quantity, NamesItsUnits) {
  EXPECT_EQ(names_of(time_units()), "s, ms, us, ns");
  EXPECT_EQ(names_of({}), "");
}

}  // namespace
}  // namespace bfsim
