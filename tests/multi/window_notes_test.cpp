// What no rank sends about windows: whoever sends it is believed nothing more, and nobody else notices.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/session.hpp"
#include "multi/windows.hpp"
#include "window/letters.hpp"
#include "window/windows.hpp"

namespace bluefog::test {
namespace {

using window::Envelope;
using window::Letter;

/// One letter of rank 0 to the window of rank 1, or to none.
struct Wrong {
  const char* name;
  Letter letter;
  std::uint64_t offset;
  std::size_t bytes;
};
std::ostream& operator<<(std::ostream& out, const Wrong& wrong) {
  return out << wrong.name;
}

constexpr std::size_t elements = 10;
constexpr std::size_t tensor_bytes = elements * sizeof(double);

class WindowNotes : public testing::TestWithParam<Wrong> {
 protected:
  static std::vector<std::shared_ptr<engine::Session>> connected() {
    return engine::Session::in_process(2, with_transport_of(Ranks::TcpThreads, 2, test_config()));
  }
  static void wait_for(engine::Session& session, const std::shared_ptr<engine::Operation>& operation) {
    ASSERT_TRUE(session.engine().wait(*operation, session.engine().clock().now() + std::chrono::seconds(20)));
  }
  /// A window on both ranks. @returns topics by rank
  static std::vector<std::shared_ptr<window::Core>> open(
      const std::vector<std::shared_ptr<engine::Session>>& sessions, std::vector<double>& tensor) {
    std::vector<window::Creation> creations(2);
    for (std::size_t rank = 0; rank < 2; ++rank) {
      window::Windows& windows = window::Windows::of(*sessions[rank]);
      creations[rank].core = std::make_shared<window::Core>(windows, "w", tensor, false);
      windows.begin(creations[rank], tensor, zeros());
    }
    std::vector<std::shared_ptr<window::Core>> cores;
    for (std::size_t rank = 0; rank < 2; ++rank) {
      wait_for(*sessions[rank], creations[rank].operation);
      cores.push_back(window::Windows::of(*sessions[rank]).finish(creations[rank]));
    }
    return cores;
  }
};

TEST_P(WindowNotes, EndTheConnection) {
  const auto sessions = connected();
  std::vector<double> tensor(elements);
  const auto cores = open(sessions, tensor);
  const Wrong& wrong = GetParam();
  const std::vector<std::byte> bytes(wrong.bytes);
  Envelope envelope{wrong.letter};
  envelope.offset = wrong.offset;
  envelope.is_last = true;
  sessions[0]->transport().send_note(1, {cores[1]->topic(), 1, envelope.words(), bytes, {}});
  // Rank 1 works on an operation that needs rank 0, and learns that it is lost.
  const auto barrier = sessions[1]->engine().submit(sessions[1]->requests().barrier({}), false);
  wait_for(*sessions[1], barrier);
  EXPECT_TRUE(barrier->error());
  EXPECT_EQ(sessions[1]->transport().state(0), transport::PeerState::Lost);
  EXPECT_EQ(tensor, std::vector<double>(elements));
  for (const auto& session : sessions) session->abandon();
}

INSTANTIATE_TEST_SUITE_P(Wrong, WindowNotes,
                         testing::Values(Wrong{"UnknownLetter", static_cast<Letter>(99), 0, 0},
                                         Wrong{"PutBeyondTheEnd", Letter::Put, 8, tensor_bytes},
                                         Wrong{"PutAfterTheEnd", Letter::Put, tensor_bytes + 1, 0},
                                         Wrong{"AccumulateAtAHugeOffset", Letter::Accumulate,
                                               ~std::uint64_t{0} - 7, 8},
                                         Wrong{"PieceOfAMeanWhereNoneIsMade", Letter::MeanPiece, 0, 8},
                                         Wrong{"MeanWhereNoneIsMade", Letter::Mean, 0, 0}),
                         [](const auto& info) { return info.param.name; });

TEST_F(WindowNotes, AboutNoWindowAreAnsweredOrLeftAlone) {
  const auto sessions = connected();
  std::vector<double> tensor(elements);
  const auto cores = open(sessions, tensor);
  window::Windows& windows = window::Windows::of(*sessions[0]);
  const auto answer = std::make_shared<window::Answer>();
  answer->peer = 1;
  const std::uint64_t request = windows.expect(answer);
  sessions[0]->transport().send_note(1, {999, request, Envelope{Letter::Get}.words()});
  sessions[0]->transport().send_note(1, {999, 0, Envelope{Letter::Close}.words()});
  sessions[0]->transport().send_note(1, {0, 12345, Envelope{Letter::Done}.words()});
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (answer->state.load() == window::Answer::State::Awaited && std::chrono::steady_clock::now() < until) {
  }
  EXPECT_EQ(answer->state.load(), window::Answer::State::Refused);
  EXPECT_EQ(answer->reason, "could not open the window");
  EXPECT_EQ(sessions[1]->transport().state(0), transport::PeerState::Alive);
  for (const auto& session : sessions) session->abandon();
}

}  // namespace
}  // namespace bluefog::test
