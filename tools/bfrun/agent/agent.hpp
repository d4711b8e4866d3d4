#pragma once
/// @file agent.hpp  The process between bfrun and the ranks of one host: starts them, watches them, ends
/// them.
///
/// It is the same on bfrun's own host and on others. It says what happens (events.hpp); what follows from it
/// for the job, bfrun decides. Only when a rank's death stops the job it does not wait to be told, and when
/// bfrun dies it outlives it just long enough to end every process of the job.

#include <memory>

#include "base/unique_fd.hpp"
#include "messages/job_description.hpp"

namespace bfrun {

class Agent {
 public:
  /// @param orders    orders of one byte, and messages; the end of the stream is bfrun's death
  /// @param upstream  for events and collected output
  Agent(JobDescription job, bluefog::base::UniqueFd orders, bluefog::base::UniqueFd upstream);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Until no process of the job is left on this host. The caller is a child subreaper.
  void run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bfrun
