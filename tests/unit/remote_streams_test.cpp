// Streams between two boards: no chunk before its grant, no more than a window of them, and none of another
// size.

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mixing/row.hpp"
#include "transport/remote/remote_board.hpp"

namespace bluefog::transport::remote {
namespace {

constexpr std::size_t chunk_bytes = 8;
constexpr Key key{7, 0};

/// A rank of two, with a wire that keeps what is sent until it is delivered.
struct Station final : Wire {
  explicit Station(int own) : rank(own), board(*this, 2) {}
  void send(int /*peer*/, Message message) override {
    message.payload.own();
    sent.push_back(std::move(message));
  }
  [[nodiscard]] bool has_room(int /*peer*/) override { return is_roomy; }

  /// Posts in slot 0, and shows it to the other.
  void post(const std::vector<Stream>& incoming) {
    mixing::MixingRow row;
    row.rank = rank;
    const auto words = mixing::encode(row);
    Post post{};
    post.key = key;
    post.chunk_bytes = chunk_bytes;
    post.meets = 1;
    Announcement announcement{post, words, {}, 0, 0, {}};
    announcement.incoming = incoming;
    board.publish(0, announcement, {});
    board.show(1 - rank, 0);
  }
  /// @returns whether the other took all
  bool deliver_to(Station& other) {
    bool all = true;
    while (!sent.empty()) {
      all = other.board.receive(rank, std::move(sent.front())) && all;
      sent.pop_front();
    }
    return all;
  }
  /// Of the other's operation.
  [[nodiscard]] SlotRef found() {
    SlotRef slot;
    Post post{};
    EXPECT_EQ(board.find(1 - rank, key, slot, post), Lookup::Found);
    return slot;
  }

  int rank;
  bool is_roomy = true;
  std::deque<Message> sent;
  RemoteBoard board;
};

std::vector<std::byte> bytes_of_number(int number, std::size_t count) {
  return {count, static_cast<std::byte>(number)};
}

class Streams : public testing::Test {
 protected:
  /// Both have posted; the receiver expects 10 tensors of 12 bytes each, so chunks of 8 and 4 bytes in turns.
  void post_both() {
    sender_.post({});
    receiver_.post({Stream{0, 10, 12, chunk_bytes}});
    EXPECT_TRUE(sender_.deliver_to(receiver_));
    EXPECT_TRUE(receiver_.deliver_to(sender_));
    EXPECT_TRUE(sender_.deliver_to(receiver_));
  }
  void send(int number) {
    sender_.board.send_chunk(1, 0, bytes_of_number(number, number % 2 == 0 ? chunk_bytes : 4));
  }

  Station sender_{0};
  Station receiver_{1};
};

TEST(Stream, CutsTheRangeOfEachTensorByItself) {
  const Stream stream{3, 4, 20, 8};
  EXPECT_EQ(stream.chunks(), 12U);
  EXPECT_EQ(stream.chunk(0).bytes, 8U);
  EXPECT_EQ(stream.chunk(5).tensor, 1U);
  EXPECT_EQ(stream.chunk(5).offset, 16U);
  EXPECT_EQ(stream.chunk(5).bytes, 4U);
  EXPECT_EQ((Stream{3, 4, 0, 8}.chunks()), 0U);
}

TEST_F(Streams, WaitForTheGrant) {
  sender_.post({});
  EXPECT_FALSE(sender_.board.can_send(1, 0));
  EXPECT_TRUE(sender_.deliver_to(receiver_));
  EXPECT_FALSE(sender_.board.can_send(1, 0));
  receiver_.post({Stream{0, 10, 12, chunk_bytes}});
  EXPECT_TRUE(receiver_.deliver_to(sender_));
  EXPECT_TRUE(sender_.board.can_send(1, 0));
  sender_.is_roomy = false;
  EXPECT_FALSE(sender_.board.can_send(1, 0));
}

TEST_F(Streams, HoldAWindowUntilChunksAreReleased) {
  post_both();
  int number = 0;
  for (; sender_.board.can_send(1, 0); ++number) send(number);
  EXPECT_EQ(number, static_cast<int>(stream_window));
  EXPECT_TRUE(sender_.deliver_to(receiver_));
  const SlotRef in = receiver_.found();
  EXPECT_EQ(receiver_.board.produced(in), stream_window);
  EXPECT_EQ(*receiver_.board.chunk(in, 2), static_cast<std::byte>(2));
  EXPECT_FALSE(sender_.board.can_send(1, 0));
  receiver_.board.release(0, 0, 3);
  EXPECT_TRUE(receiver_.deliver_to(sender_));
  EXPECT_EQ(sender_.board.consumed(sender_.found()), 3U);
  for (; sender_.board.can_send(1, 0); ++number) send(number);
  EXPECT_EQ(number, static_cast<int>(stream_window) + 3);
  EXPECT_TRUE(sender_.deliver_to(receiver_));
  EXPECT_EQ(*receiver_.board.chunk(in, 10), static_cast<std::byte>(10));
}

TEST_F(Streams, RefuseWhatWasNotAnnounced) {
  post_both();
  sender_.board.send_chunk(1, 0, bytes_of_number(0, 4));  // the first has 8 bytes
  EXPECT_FALSE(sender_.deliver_to(receiver_));
  for (int number = 0; number < static_cast<int>(stream_window); ++number) send(number);
  EXPECT_TRUE(sender_.deliver_to(receiver_));
  send(static_cast<int>(stream_window));  // more than a window
  EXPECT_FALSE(sender_.deliver_to(receiver_));
}

TEST_F(Streams, EndWhereTheReceiverGivesUp) {
  post_both();
  send(0);
  receiver_.board.set_reason(0, {"tired"});
  receiver_.board.set_phase(0, Phase::Withdrawn);
  receiver_.board.show(0, 0);
  EXPECT_TRUE(receiver_.deliver_to(sender_));
  EXPECT_FALSE(sender_.board.can_send(1, 0));
  EXPECT_EQ(sender_.board.reason(sender_.found()).text, "tired");
  receiver_.board.reclaim(0, key);
  EXPECT_TRUE(sender_.deliver_to(receiver_)) << "what comes too late is no offence";
}

}  // namespace
}  // namespace bluefog::transport::remote
