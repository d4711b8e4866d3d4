#pragma once
/// @file blocked_signals.hpp  For starting threads that shall handle no signals: they inherit the mask.

#include <csignal>

#include <pthread.h>

namespace bluefog::base {

/// While it lives, this thread has all signals blocked.
class BlockedSignals {
 public:
  BlockedSignals() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace bluefog::base
