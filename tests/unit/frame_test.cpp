// Messages as bytes: all kinds there and back, and everything that a network or a stranger may make of them.

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mixing/row.hpp"
#include "transport/tcp/frame_reader.hpp"

namespace bluefog::transport::tcp {
namespace {

using remote::Message;

constexpr PeerFacts peer{2, 5};

remote::RowWords row_words() {
  mixing::MixingRow row;
  row.rank = peer.rank;
  row.sources = {{0, 0.25}, {4, 0.5}};
  row.destinations = {{1, 1.0}, {3, 2.0}};
  return std::make_shared<const std::vector<std::uint64_t>>(mixing::encode(row));
}

remote::Payload payload_of(std::size_t bytes) {
  remote::Payload payload(bytes);
  for (std::size_t i = 0; i < bytes; ++i) payload.data()[i] = static_cast<std::byte>(i * 7 + 1);
  return payload;
}

Message post() {
  Message message;
  message.kind = Message::Kind::Post;
  message.key = {0x0123456789abcdefU, 42};
  message.post.key = message.key;
  message.post.sequence = 7;
  message.post.digest = 8;
  message.post.row_hash = 9;
  message.post.chunk_bytes = 1024;
  message.post.extents = {3, 5};
  message.post.dims = 2;
  message.post.kind = OperationKind::Allgather;
  message.post.dtype = DType::Int16;
  message.post.publishes = 1;
  message.post.is_named = 1;
  message.row = row_words();
  message.name = "layer 1";
  message.payload = payload_of(30);
  return message;
}

std::vector<Message> one_of_each_kind() {
  std::vector<Message> messages;
  messages.push_back(post());
  messages.push_back(post());
  messages.back().phase = Phase::Withdrawn;
  messages.back().payload = {};
  messages.back().text = "rank 4 was lost";
  messages.back().lost = 4;
  for (const auto kind : {Message::Kind::Chunk, Message::Kind::Progress, Message::Kind::Passed,
                          Message::Kind::Complaint, Message::Kind::Left, Message::Kind::Note}) {
    messages.emplace_back();
    messages.back().kind = kind;
    if (kind != Message::Kind::Left) messages.back().key = {11, 12};
  }
  messages.emplace_back();
  messages.back().kind = Message::Kind::Progress;
  messages.back().phase = Phase::Done;
  messages.back().key = {11, 12};
  messages[2].payload = payload_of(100'000);
  messages[3].consumed = 13;
  messages[5].text = std::string(3000, 'x');
  messages[7].words = {1, 2, 3, ~std::uint64_t{0}, 5, 6};
  messages[7].payload = payload_of(70'000);
  messages.emplace_back();
  messages.back().kind = Message::Kind::Note;
  messages.back().key = {11, 12};
  messages.back().text = "no window has this name";
  return messages;
}

std::vector<std::byte> bytes_of(const Message& message, std::uint64_t sequence) {
  std::vector<std::byte> bytes;
  encode(message, sequence, bytes);
  bytes.insert(bytes.end(), message.payload.data(), message.payload.data() + message.payload.size());
  return bytes;
}

void expect_equal(const Message& a, const Message& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.phase, b.phase);
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.consumed, b.consumed);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.lost, b.lost);
  EXPECT_EQ(a.words, b.words);
  ASSERT_EQ(a.payload.size(), b.payload.size());
  EXPECT_TRUE(std::equal(a.payload.data(), a.payload.data() + a.payload.size(), b.payload.data()));
  if (a.kind != Message::Kind::Post) return;
  EXPECT_EQ(a.post.sequence, b.post.sequence);
  EXPECT_EQ(a.post.digest, b.post.digest);
  EXPECT_EQ(a.post.row_hash, b.post.row_hash);
  EXPECT_EQ(a.post.chunk_bytes, b.post.chunk_bytes);
  EXPECT_EQ(a.post.extents, b.post.extents);
  EXPECT_EQ(a.post.dims, b.post.dims);
  EXPECT_EQ(a.post.kind, b.post.kind);
  EXPECT_EQ(a.post.dtype, b.post.dtype);
  EXPECT_EQ(a.post.meets, b.post.meets);
  EXPECT_EQ(a.post.publishes, b.post.publishes);
  EXPECT_EQ(a.post.logs, b.post.logs);
  EXPECT_EQ(a.post.is_named, b.post.is_named);
  EXPECT_EQ(*a.row, *b.row);
}

struct Read {
  std::vector<Message> messages;
  std::vector<std::uint64_t> sequences;
  int heartbeats = 0;
  bool is_refused = false;
};

/// What a reader makes of bytes that come in pieces of at most `piece`.
Read read(std::span<const std::byte> bytes, std::size_t piece) {
  FrameReader reader(peer);
  Read result;
  while (true) {
    Message message;
    std::uint64_t sequence = 0;
    switch (reader.next(message, sequence)) {
      case FrameReader::Result::Message:
        result.messages.push_back(std::move(message));
        result.sequences.push_back(sequence);
        continue;
      case FrameReader::Result::Heartbeat:
        ++result.heartbeats;
        continue;
      case FrameReader::Result::Refused:
        result.is_refused = true;
        EXPECT_TRUE(reader.space().empty());
        return result;
      case FrameReader::Result::Incomplete:
        break;
    }
    if (bytes.empty()) return result;
    const auto space = reader.space();
    EXPECT_FALSE(space.empty());
    const std::size_t count = std::min({space.size(), bytes.size(), piece});
    std::copy_n(bytes.begin(), count, space.begin());
    reader.wrote(count);
    bytes = bytes.subspan(count);
  }
}

TEST(Frames, GoThereAndBackInPiecesOfAnySize) {
  const auto messages = one_of_each_kind();
  std::vector<std::byte> bytes;
  encode_heartbeat(bytes);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto one = bytes_of(messages[i], messages[i].may_overtake() ? 0 : i + 1);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, bytes.size()}) {
    const Read result = read(bytes, piece);
    EXPECT_FALSE(result.is_refused);
    EXPECT_EQ(result.heartbeats, 1);
    ASSERT_EQ(result.messages.size(), messages.size());
    for (std::size_t i = 0; i < messages.size(); ++i) {
      expect_equal(result.messages[i], messages[i]);
      EXPECT_EQ(result.sequences[i], messages[i].may_overtake() ? 0 : i + 1);
    }
  }
}

TEST(Frames, WaitForTheRestWhereverTheyAreCut) {
  for (const Message& message : one_of_each_kind()) {
    const auto bytes = bytes_of(message, message.may_overtake() ? 0 : 1);
    const std::size_t step = std::max<std::size_t>(1, bytes.size() / 5000);
    for (std::size_t length = 0; length < bytes.size(); length += step) {
      const Read result = read(std::span(bytes).first(length), length + 1);
      EXPECT_TRUE(result.messages.empty()) << length;
      EXPECT_FALSE(result.is_refused) << length;
    }
  }
}

TEST(Frames, WithAHeadOfAnotherLengthAreRefused) {
  // The header says how long the head is; the head itself must agree.
  for (const Message& message : one_of_each_kind()) {
    for (const int change : {-1, 1}) {
      auto bytes = bytes_of(message, message.may_overtake() ? 0 : 1);
      std::uint32_t head = 0;
      std::memcpy(&head, bytes.data() + 4, sizeof(head));
      head += static_cast<std::uint32_t>(change);
      std::memcpy(bytes.data() + 4, &head, sizeof(head));
      bytes.resize(bytes.size() + 1);
      EXPECT_TRUE(read(bytes, bytes.size()).is_refused) << static_cast<int>(message.kind);
    }
  }
}

TEST(Frames, WithOneWrongBitDoNoHarm) {
  for (const Message& message : one_of_each_kind()) {
    const auto bytes = bytes_of(message, message.may_overtake() ? 0 : 1);
    const std::size_t last = bytes.size() - message.payload.size();
    for (std::size_t bit = 0; bit < 8 * last; ++bit) {
      auto wrong = bytes;
      wrong[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      const Read result = read(wrong, wrong.size());
      for (const Message& other : result.messages) {
        EXPECT_LE(other.payload.size(), longest_payload);
        if (other.row != nullptr) {
          EXPECT_NO_THROW(static_cast<void>(mixing::decode(*other.row)));
        }
      }
    }
  }
}

TEST(Frames, OfRandomBytesAreRefusedOrWaitFor) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> bytes(random() % 300);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (round % 2 == 0 && !bytes.empty()) bytes[0] = std::byte{protocol_version};
    static_cast<void>(read(bytes, 1 + random() % 50));
  }
}

/// A header with these fields, in the order of their bytes.
std::vector<std::byte> header(std::uint8_t version, std::uint8_t kind, std::uint8_t phase, std::uint32_t head,
                              std::uint32_t payload, std::uint64_t sequence) {
  std::vector<std::byte> bytes{std::byte{version}, std::byte{kind}, std::byte{phase}, std::byte{0}};
  const auto put = [&bytes](std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
  };
  put(head, 4);
  put(payload, 4);
  put(0, 4);
  put(sequence, 8);
  return bytes;
}

TEST(Headers, ThatNoRankSendsAreRefused) {
  const auto is_refused = [](const std::vector<std::byte>& bytes) { return read(bytes, 1).is_refused; };
  constexpr std::uint8_t now = protocol_version;
  constexpr std::uint8_t old = now - 1;
  EXPECT_FALSE(is_refused(header(now, 1, 0, 16, 100, 1)));
  EXPECT_TRUE(is_refused(header(old, 1, 0, 16, 100, 1))) << "another version";
  EXPECT_TRUE(is_refused(header(now, 8, 0, 16, 100, 1))) << "an unknown kind";
  EXPECT_TRUE(is_refused(header(now, 1, 1, 16, 100, 1))) << "a phase that is told of progress only";
  EXPECT_FALSE(is_refused(header(now, 2, 1, 30, 0, 5)));
  EXPECT_FALSE(is_refused(header(now, 2, 2, 30, 0, 5)));
  EXPECT_TRUE(is_refused(header(now, 2, 3, 30, 0, 5))) << "a phase that is not told";
  EXPECT_TRUE(is_refused(header(now, 2, 5, 30, 0, 5))) << "no phase";
  EXPECT_TRUE(is_refused(header(now, 2, 2, 30, 0, 0))) << "a phase without a number";
  EXPECT_TRUE(is_refused(header(now, 1, 0, 16, 100, 0))) << "a chunk without a number";
  EXPECT_TRUE(is_refused(header(now, 2, 0, 30, 0, 5))) << "progress with one";
  EXPECT_TRUE(is_refused(header(now, 1, 0, 16, (4U << 20) + 1, 1))) << "a payload beyond the limit";
  EXPECT_TRUE(is_refused(header(now, 1, 0, 0xffffffff, 100, 1))) << "a head beyond the limit";
  EXPECT_TRUE(is_refused(header(now, 3, 0, 16, 1, 1))) << "a payload where none belongs";
  EXPECT_TRUE(is_refused(header(now, 1, 0, 16, 0, 1))) << "a chunk of nothing";
  EXPECT_TRUE(is_refused(header(now, 7, 0, 1, 0, 0))) << "a heartbeat with a head";
}

struct Wrong {
  const char* what;
  void (*change)(Message&);
};

class WrongPosts : public testing::TestWithParam<Wrong> {};

TEST_P(WrongPosts, AreRefused) {
  Message message = post();
  GetParam().change(message);
  EXPECT_TRUE(read(bytes_of(message, 1), 100).is_refused);
}

void change_row(Message& message, std::size_t word, std::uint64_t value) {
  auto words = *message.row;
  words[word] = value;
  message.row = std::make_shared<const std::vector<std::uint64_t>>(std::move(words));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongPosts,
    testing::Values(
        Wrong{"Kind",
              [](Message& m) { m.post.kind = static_cast<OperationKind>(transport::operation_kinds); }},
        Wrong{"DType", [](Message& m) { m.post.dtype = static_cast<DType>(10); }},
        Wrong{"NoChunks", [](Message& m) { m.post.chunk_bytes = 0; }},
        Wrong{"LargeChunks", [](Message& m) { m.post.chunk_bytes = longest_payload + 1; }},
        Wrong{"NegativeExtent", [](Message& m) { m.post.extents[0] = -3; }},
        Wrong{"HugeTensor",
              [](Message& m) {
                m.post.extents = {std::int64_t{1} << 40, std::int64_t{1} << 40};
              }},
        Wrong{"PayloadOfAnotherSize", [](Message& m) { m.payload = payload_of(29); }},
        Wrong{"LostRankOutside", [](Message& m) { m.lost = 5; }},
        Wrong{"RowOfAnotherRank", [](Message& m) { change_row(m, 0, 1U << 8); }},
        Wrong{"RowForm", [](Message& m) { change_row(m, 0, 2U << 8 | 9); }},
        Wrong{"RowLength", [](Message& m) { change_row(m, 1, std::uint64_t{2} << 32 | 3); }},
        Wrong{"RowCountOverflow", [](Message& m) { change_row(m, 1, ~std::uint64_t{0}); }},
        Wrong{"SourceOutside", [](Message& m) { change_row(m, 5, 5); }},
        Wrong{"SourceTwice", [](Message& m) { change_row(m, 5, 0); }},
        Wrong{"SourceItself", [](Message& m) { change_row(m, 3, 2); }},
        Wrong{"NoRow", [](Message& m) { m.row = std::make_shared<const std::vector<std::uint64_t>>(); }}),
    [](const auto& info) { return info.param.what; });

TEST(Texts, AreCutToWhatFits) {
  Message message = post();
  message.text = std::string(100'000, 'y');
  message.name = std::string(1000, 'z');
  const Read result = read(bytes_of(message, 1), 4096);
  ASSERT_EQ(result.messages.size(), 1U);
  EXPECT_EQ(result.messages[0].text.size(), longest_text);
  EXPECT_EQ(result.messages[0].name.size(), longest_shown_name);
}

}  // namespace
}  // namespace bluefog::transport::tcp
