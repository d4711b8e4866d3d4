#pragma once
/// @file key_file.hpp  The secret of a job in a file that only its owner may read.

#include <string>

#include "base/job_key.hpp"

namespace bluefog::base {

/// A key that is derived from all bytes of the file. "/dev/fd/3" reads an inherited descriptor.
/// @throws InvalidArgument  it cannot be read, somebody else may read it, or it holds fewer than 32 or more
/// than 4,096 bytes; the text names BLUEFOG_JOB_KEY_FILE and the path, never what is in it
[[nodiscard]] JobKey read_key_file(const std::string& path);

}  // namespace bluefog::base
