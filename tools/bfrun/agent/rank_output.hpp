#pragma once
/// @file rank_output.hpp  The lines of all ranks of a host, on their way to bfrun: each whole, with its rank
/// before it if that is wanted.

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "agent/line_tagger.hpp"
#include "agent/upstream.hpp"
#include "base/unique_fd.hpp"

namespace bfrun {

/// The pipes of the ranks. Everything happens on the io_context's thread.
class RankOutput {
 public:
  RankOutput(asio::io_context& io, Upstream& upstream, bool tagged)
      : io_(io), upstream_(upstream), tagged_(tagged) {}

  /// A pipe for one rank's standard output or standard error (`target`: 1 or 2); returns the end for the
  /// rank.
  [[nodiscard]] bluefog::base::UniqueFd add_pipe(int rank, int target);
  void start();
  /// There is room again for what was held back.
  void resume();
  /// Nobody reads this target any more: ranks get SIGPIPE, as without pipes of ours.
  void close(int target);
  /// Takes what the pipes still hold.
  void finish();

 private:
  struct Stream {
    Stream(asio::io_context& io, int fd, std::string prefix, int target_fd)
        : pipe(io, fd), tagger(std::move(prefix)), target(target_fd) {}
    asio::posix::stream_descriptor pipe;
    LineTagger tagger;
    int target;
  };
  void wait_for(Stream& stream);
  void read(Stream& stream);

  asio::io_context& io_;
  Upstream& upstream_;
  bool tagged_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> paused_;
  std::array<char, 65536> buffer_{};
};

}  // namespace bfrun
