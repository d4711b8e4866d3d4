#pragma once
/// @file note.hpp  What rooms above the engine send each other beside its operations. The transport knows
/// nothing of what is in it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bluefog::transport {

using NoteWords = std::array<std::uint64_t, 6>;

/// Numbers, perhaps some bytes of a tensor, or a text for people.
struct Note {
  std::uint64_t topic = 0;    ///< which of several like the receiver
  std::uint64_t request = 0;  ///< the sender's, or whose answer this is
  NoteWords words{};
  std::span<const std::byte> bytes = {};  ///< only until the call that it is given to returns
  std::string text = {};                  ///< not with bytes
};

/// Bytes that one note carries at most.
inline constexpr std::size_t longest_note = std::size_t{1} << 20;

/// Takes notes of peers, in the order in which each has sent them.
class NoteSink {
 public:
  virtual ~NoteSink() = default;
  /// On a thread of the transport; must not wait. @returns false for what no rank sends
  [[nodiscard]] virtual bool take_note(int from, const Note& note) = 0;

 protected:
  NoteSink() = default;
};

}  // namespace bluefog::transport
