#pragma once
/// @file export.hpp  Visibility of public symbols.

#define BLUEFOG_API __attribute__((visibility("default")))
