#pragma once
/// @file letters.hpp  What ranks that share no memory write each other about windows.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "transport/note.hpp"

namespace bluefog::window {

enum class Letter : std::uint64_t {
  Put,         ///< bytes for the buffer of the sender, in pieces
  Accumulate,  ///< the same, to be added
  MeanPiece,   ///< bytes for a mean
  Mean,        ///< all are there: asks for the mean of them and the tensor, as the value of both
  Get,         ///< asks for the tensor
  Lock,        ///< asks for the mutex of the sender's edge
  Unlock,      ///< gives it back, or asks no more
  Close,       ///< the sender makes no more calls on the window
  Done,        ///< an answer: what was asked is done
  Refused,     ///< an answer: it is not; the text says why
  Value,       ///< an answer: bytes of the tensor, in pieces
};
[[nodiscard]] constexpr bool is_answer(Letter letter) {
  return letter == Letter::Done || letter == Letter::Refused || letter == Letter::Value;
}

/// The words of a note, by what they mean.
struct Envelope {
  Letter letter = Letter::Done;
  std::uint64_t offset = 0;  ///< of the bytes
  bool is_last = false;      ///< of the pieces
  bool has_weight = false;   ///< a push-sum weight goes with the last piece
  double weight = 0;         ///< that one; in a Get, the factor

  [[nodiscard]] transport::NoteWords words() const {
    return {static_cast<std::uint64_t>(letter),   offset, std::uint64_t{is_last}, std::uint64_t{has_weight},
            std::bit_cast<std::uint64_t>(weight), 0};
  }
  [[nodiscard]] static Envelope of(const transport::NoteWords& words) {
    return {static_cast<Letter>(words[0]), words[1], words[2] != 0, words[3] != 0,
            std::bit_cast<double>(words[4])};
  }
};

/// The largest piece of a tensor that goes in one letter.
inline constexpr std::size_t piece_bytes = std::size_t{512} << 10;
static_assert(piece_bytes <= transport::longest_note);

/// What a far rank will say to a request.
struct Answer {
  enum class State : std::uint8_t { Awaited, Done, Refused };
  int peer = -1;
  std::atomic<State> state{State::Awaited};
  std::string reason;          ///< once it is refused
  std::byte* bytes = nullptr;  ///< of a get: where they go
  std::size_t size = 0;
  std::size_t received = 0;
  double weight = 0;  ///< push-sum weight that came with them
};

}  // namespace bluefog::window
