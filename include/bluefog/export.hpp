#pragma once
/// @file export.hpp  Visibility of public symbols.

/// Marks what the shared library shows.
#define BLUEFOG_API __attribute__((visibility("default")))
