// What a rank believes of a far peer that contradicts itself.

#include "transport/hosts/host_transport.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mixing/row.hpp"
#include "unit/wires.hpp"

namespace bluefog::transport::hosts {
namespace {

using tcp::test::RawRank;

/// A rank whose only peer, rank 1, is played by the test.
class LonelyRank {
 public:
  LonelyRank() {
    const base::JobKey key = base::JobKey::random();
    auto listeners = tcp::listen_on({}, {});
    endpoint = listeners.front().endpoint;
    tcp::WireOptions options;
    options.identity = {0, 2, 1, 1, key};
    peer = {1, 2, 1, 1, key};
    options.addresses = {{}, {endpoint}};
    auto arena = shm::ShmTransport::make_arena(0, std::size_t{64} << 20);
    auto memory = std::make_unique<shm::ShmTransport>(0, 2, std::move(arena),
                                                      [](int) { return std::shared_ptr<shm::Mapping>(); });
    transport = std::make_unique<HostTransport>(std::move(memory), std::vector<int>{0, 1}, std::move(options),
                                                std::move(listeners), executor);
  }
  void wait_for_news() const {
    const auto until = std::chrono::steady_clock::now() + tcp::test::patience;
    while (!transport->wire().has_news()) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      std::this_thread::yield();
    }
  }

  base::ThreadExecutor executor;
  tcp::Endpoint endpoint;
  tcp::Identity peer;
  std::unique_ptr<HostTransport> transport;
};

void append_post(std::vector<std::byte>& bytes, std::uint64_t sequence) {
  mixing::MixingRow row;
  row.rank = 1;
  remote::Message post;
  post.kind = remote::Message::Kind::Post;
  post.key = {1, 1};
  post.post.key = post.key;
  post.post.chunk_bytes = 1024;
  post.row = std::make_shared<const std::vector<std::uint64_t>>(mixing::encode(row));
  tcp::encode(post, sequence, bytes);
}

void append_complaint(std::vector<std::byte>& bytes, std::uint64_t sequence, const std::string& text) {
  remote::Message complaint;
  complaint.kind = remote::Message::Kind::Complaint;
  complaint.key = {1, 2};
  complaint.text = text;
  tcp::encode(complaint, sequence, bytes);
}

TEST(Contradiction, EndsTheBeliefInAllThatComesAfterIt) {
  LonelyRank lonely;
  const RawRank peer(lonely.endpoint, lonely.peer, 0);
  std::vector<std::byte> bytes;
  append_complaint(bytes, 1, "before");
  append_post(bytes, 2);
  append_post(bytes, 3);
  append_complaint(bytes, 4, "after");
  peer.send(bytes);
  lonely.wait_for_news();
  lonely.transport->progress();
  EXPECT_EQ(lonely.transport->state(1), PeerState::Lost);
  EXPECT_NE(lonely.transport->why_lost(1).find("contradicts"), std::string::npos)
      << lonely.transport->why_lost(1);
  ASSERT_TRUE(lonely.transport->take_complaint());
  EXPECT_FALSE(lonely.transport->take_complaint());
}

}  // namespace
}  // namespace bluefog::transport::hosts
