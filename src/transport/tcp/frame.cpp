#include "transport/tcp/frame.hpp"

#include <concepts>
#include <cstring>
#include <string_view>

#include "base/little_endian.hpp"
#include "mixing/row.hpp"

namespace bluefog::transport::tcp {

namespace {

using base::ByteReader;
using base::ByteWriter;
using remote::Message;

constexpr std::size_t row_words_without_edges = 3;

// Flags of a post, in one byte.
constexpr unsigned meets_bit = 1;
constexpr unsigned publishes_bit = 2;
constexpr unsigned logs_bit = 4;
constexpr unsigned named_bit = 8;
constexpr unsigned all_bits = 15;

/// Into bytes that are there already.
class FixedWriter {
 public:
  explicit FixedWriter(std::span<std::byte> out) : out_(out) {}
  template <std::unsigned_integral Number>
  void put(Number number) {
    number = base::swap_unless_little(number);
    std::memcpy(out_.data(), &number, sizeof(number));
    out_ = out_.subspan(sizeof(number));
  }

 private:
  std::span<std::byte> out_;
};

void encode_header(const Header& header, std::span<std::byte, header_bytes> out) {
  FixedWriter to(out);
  to.put(protocol_version);
  to.put(static_cast<std::uint8_t>(header.kind));
  to.put(static_cast<std::uint8_t>(header.phase));
  to.put(std::uint8_t{0});
  to.put(header.head_bytes);
  to.put(header.payload_bytes);
  to.put(std::uint32_t{0});
  to.put(header.sequence);
}

void put_rank(ByteWriter& to, int rank) {
  to.put(static_cast<std::uint32_t>(rank + 1));
}

void put_text(ByteWriter& to, std::string_view text, std::size_t longest) {
  text = text.substr(0, longest);
  to.put(static_cast<std::uint16_t>(text.size()));
  to.put(text);
}

void put_post(ByteWriter& to, const Message& message) {
  const Post& post = message.post;
  to.put(post.sequence);
  to.put(post.digest);
  to.put(post.row_hash);
  to.put(post.chunk_bytes);
  to.put(static_cast<std::uint8_t>(post.kind));
  to.put(static_cast<std::uint8_t>(post.dtype));
  to.put(static_cast<std::uint8_t>((post.meets != 0 ? meets_bit : 0) |
                                   (post.publishes != 0 ? publishes_bit : 0) |
                                   (post.logs != 0 ? logs_bit : 0) | (post.is_named != 0 ? named_bit : 0)));
  to.put(static_cast<std::uint8_t>(post.dims));
  for (std::size_t dim = 0; dim < post.dims; ++dim) to.put(static_cast<std::uint64_t>(post.extents[dim]));
  put_rank(to, message.lost);
  to.put(static_cast<std::uint32_t>(message.row->size()));
  for (const std::uint64_t word : *message.row) to.put(word);
  put_text(to, message.name, longest_shown_name);
  put_text(to, message.text, longest_text);
}

/// A rank of the job, or none (-1).
bool take_rank(ByteReader& from, const PeerFacts& peer, int& rank) {
  const auto number = from.take<std::uint32_t>();
  if (number > static_cast<std::uint32_t>(peer.size)) return false;
  rank = static_cast<int>(number) - 1;
  return true;
}

bool take_text(ByteReader& from, std::size_t longest, std::string& text) {
  const std::size_t length = from.take<std::uint16_t>();
  if (length > longest) return false;
  const auto bytes = from.take(length);
  text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return from.ok();
}

/// Ranks of the job in ascending order, without `self`.
bool are_edges(std::span<const std::uint64_t> words, const PeerFacts& peer) {
  const auto self = static_cast<std::uint64_t>(peer.rank);
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const std::uint64_t rank = words[i];
    if (rank < least || rank >= static_cast<std::uint64_t>(peer.size) || rank == self) return false;
    least = rank + 1;
  }
  return true;
}

/// What mixing::decode() relies on.
bool is_row(std::span<const std::uint64_t> words, const PeerFacts& peer) {
  if (words.size() < row_words_without_edges) return false;
  const std::size_t sources = words[1] >> 32;
  const std::size_t destinations = words[1] & 0xffffffffU;
  const auto most = static_cast<std::size_t>(peer.size);
  if (sources > most || destinations > most) return false;
  if (words.size() != row_words_without_edges + 2 * (sources + destinations)) return false;
  if (words[0] >> 8 != static_cast<std::uint64_t>(peer.rank)) return false;
  if ((words[0] & 0xff) > static_cast<std::uint64_t>(mixing::RowForm::Gather)) return false;
  const auto edges = words.subspan(row_words_without_edges);
  return are_edges(edges.first(2 * sources), peer) && are_edges(edges.subspan(2 * sources), peer);
}

bool take_row(ByteReader& from, const PeerFacts& peer, remote::RowWords& row) {
  const std::size_t count = from.take<std::uint32_t>();
  if (count > from.left() / sizeof(std::uint64_t)) return false;
  std::vector<std::uint64_t> words(count);
  for (std::uint64_t& word : words) word = from.take<std::uint64_t>();
  if (!is_row(words, peer)) return false;
  row = std::make_shared<const std::vector<std::uint64_t>>(std::move(words));
  return true;
}

/// Whether the tensor can exist: its bytes fit in 62 bits.
bool take_extents(ByteReader& from, Post& post) {
  constexpr std::uint64_t most_bytes = std::uint64_t{1} << 62;
  std::uint64_t bytes = size_of(post.dtype);
  for (std::size_t dim = 0; dim < post.dims; ++dim) {
    const auto extent = from.take<std::uint64_t>();
    if (extent > most_bytes || (extent != 0 && bytes > most_bytes / extent)) return false;
    bytes *= extent;
    post.extents[dim] = static_cast<std::int64_t>(extent);
  }
  return true;
}

bool take_post(ByteReader& from, const PeerFacts& peer, const Header& header, Message& message) {
  Post& post = message.post;
  post.key = message.key;
  post.sequence = from.take<std::uint64_t>();
  post.digest = from.take<std::uint64_t>();
  post.row_hash = from.take<std::uint64_t>();
  post.chunk_bytes = from.take<std::uint64_t>();
  const auto kind = from.take<std::uint8_t>();
  const auto dtype = from.take<std::uint8_t>();
  const unsigned flags = from.take<std::uint8_t>();
  post.dims = from.take<std::uint8_t>();
  if (!from.ok() || kind >= operation_kinds || dtype > static_cast<std::uint8_t>(DType::Float64))
    return false;
  if (flags > all_bits || post.dims > Shape::max_dims) return false;
  if (post.chunk_bytes == 0 || post.chunk_bytes > longest_payload) return false;
  post.kind = static_cast<OperationKind>(kind);
  post.dtype = static_cast<DType>(dtype);
  post.meets = (flags & meets_bit) != 0 ? 1 : 0;
  post.publishes = (flags & publishes_bit) != 0 ? 1 : 0;
  post.logs = (flags & logs_bit) != 0 ? 1 : 0;
  post.is_named = (flags & named_bit) != 0 ? 1 : 0;
  if (!take_extents(from, post) || !take_rank(from, peer, message.lost)) return false;
  if (!take_row(from, peer, message.row)) return false;
  if (!take_text(from, longest_shown_name, message.name) || !take_text(from, longest_text, message.text)) {
    return false;
  }
  // Offsets mean nothing to who shares no memory.
  post.row_words = message.row->size();
  post.row_offset = post.input_offset = post.output_offset = post.staging_offset = no_offset;
  return header.payload_bytes == 0 || header.payload_bytes == bytes_of(post);
}

bool take_body(ByteReader& from, const PeerFacts& peer, const Header& header, Message& message) {
  switch (message.kind) {
    case Message::Kind::Post:
      return take_post(from, peer, header, message);
    case Message::Kind::Progress:
      message.consumed = from.take<std::uint64_t>();
      return take_rank(from, peer, message.lost) && take_text(from, longest_text, message.text);
    case Message::Kind::Complaint:
      return take_text(from, longest_text, message.text);
    case Message::Kind::Note:
      for (std::uint64_t& word : message.words) word = from.take<std::uint64_t>();
      return take_text(from, longest_text, message.text) &&
             (message.text.empty() || header.payload_bytes == 0) && header.payload_bytes <= longest_note;
    case Message::Kind::Chunk:
    case Message::Kind::Passed:
    case Message::Kind::Left:
      return true;
  }
  return false;
}

/// Whether a rank tells of this phase, with this kind of message.
bool is_told(const Header& header) {
  switch (header.phase) {
    case Phase::Posted:
    case Phase::Withdrawn:
      return true;
    case Phase::Running:
    case Phase::Done:
      return header.kind == Header::Kind::Progress;
    case Phase::Left:
      return false;
  }
  return false;
}

bool carries_payload(Header::Kind kind) {
  return kind == Header::Kind::Post || kind == Header::Kind::Chunk || kind == Header::Kind::Note;
}

}  // namespace

void encode(const Message& message, std::uint64_t sequence, std::vector<std::byte>& out) {
  const std::size_t start = out.size();
  out.resize(start + header_bytes);
  ByteWriter to(out);
  if (message.kind != Message::Kind::Left) {
    to.put(message.key.stream);
    to.put(message.key.count);
  }
  if (message.kind == Message::Kind::Post) put_post(to, message);
  if (message.kind == Message::Kind::Progress) {
    to.put(message.consumed);
    put_rank(to, message.lost);
  }
  if (message.kind == Message::Kind::Note) {
    for (const std::uint64_t word : message.words) to.put(word);
  }
  if (message.kind == Message::Kind::Progress || message.kind == Message::Kind::Complaint ||
      message.kind == Message::Kind::Note) {
    put_text(to, message.text, longest_text);
  }
  const Header header{static_cast<Header::Kind>(message.kind), message.phase,
                      static_cast<std::uint32_t>(out.size() - start - header_bytes),
                      static_cast<std::uint32_t>(message.payload.size()), sequence};
  encode_header(header, std::span(out).subspan(start).first<header_bytes>());
}

void encode_heartbeat(std::vector<std::byte>& out) {
  const std::size_t start = out.size();
  out.resize(start + header_bytes);
  encode_header({}, std::span(out).subspan(start).first<header_bytes>());
}

std::optional<Header> decode_header(std::span<const std::byte, header_bytes> bytes, const PeerFacts& peer) {
  ByteReader from(bytes);
  const auto version = from.take<std::uint8_t>();
  const auto kind = from.take<std::uint8_t>();
  const auto phase = from.take<std::uint8_t>();
  const auto zero = from.take<std::uint8_t>();
  Header header;
  header.head_bytes = from.take<std::uint32_t>();
  header.payload_bytes = from.take<std::uint32_t>();
  const auto more_zeros = from.take<std::uint32_t>();
  header.sequence = from.take<std::uint64_t>();
  if (version != protocol_version || zero != 0 || more_zeros != 0) return {};
  if (kind > static_cast<std::uint8_t>(Header::Kind::Heartbeat)) return {};
  header.kind = static_cast<Header::Kind>(kind);
  header.phase = static_cast<Phase>(phase);
  if (!is_told(header)) return {};
  const bool is_heartbeat = header.kind == Header::Kind::Heartbeat;
  const bool may_overtake = header.kind == Header::Kind::Progress && header.phase == Phase::Posted;
  if ((header.sequence == 0) != (is_heartbeat || may_overtake)) return {};
  if (header.head_bytes > (is_heartbeat ? 0 : longest_head(peer.size))) return {};
  if (header.payload_bytes > (carries_payload(header.kind) ? longest_payload : 0)) return {};
  if (header.kind == Header::Kind::Chunk && header.payload_bytes == 0) return {};
  return header;
}

std::optional<Message> decode_head(const Header& header, std::span<const std::byte> head,
                                   const PeerFacts& peer) {
  if (header.kind == Header::Kind::Heartbeat) return {};
  ByteReader from(head);
  Message message;
  message.kind = static_cast<Message::Kind>(header.kind);
  message.phase = header.phase;
  if (message.kind != Message::Kind::Left) {
    message.key.stream = from.take<std::uint64_t>();
    message.key.count = from.take<std::uint64_t>();
  }
  if (!take_body(from, peer, header, message) || !from.is_done()) return {};
  return message;
}

}  // namespace bluefog::transport::tcp
