#pragma once
/// @file paths.hpp  The ways on which the engine can carry one operation, chosen by where tensors lie and
/// whether ranks meet.

#include <cstddef>
#include <ostream>
#include <vector>

#include <bluefog/bluefog.hpp>

namespace bluefog::test {

enum class Path {
  SlicesInPlace,     ///< arena, in place, the component meets
  SlicesOutOfPlace,  ///< arena to arena, the component meets
  ZeroCopy,          ///< arena source, output in the arena or private; no meeting
  Ring,              ///< private, in place on odd ranks; no meeting
  RingWithMeeting,   ///< the component meets, but rank 0 brings private memory
  PrivateMeeting,    ///< the component meets, all memory is private
};

inline constexpr Path all_paths[] = {Path::SlicesInPlace, Path::SlicesOutOfPlace, Path::ZeroCopy,
                                     Path::Ring,          Path::RingWithMeeting,  Path::PrivateMeeting};

inline std::ostream& operator<<(std::ostream& out, Path path) {
  constexpr const char* names[] = {"SlicesInPlace", "SlicesOutOfPlace", "ZeroCopy",
                                   "Ring",          "RingWithMeeting",  "PrivateMeeting"};
  return out << names[static_cast<int>(path)];
}

inline bool meets(Path path) {
  return path != Path::ZeroCopy && path != Path::Ring;
}

/// Input and output of one operation, in the memory that a path asks for.
class Buffers {
 public:
  Buffers(Context& context, Path path, DType dtype, const Shape& shape) {
    const bool odd = context.rank() % 2 != 0;
    const bool first = context.rank() == 0;
    const bool arena = path == Path::SlicesInPlace || path == Path::SlicesOutOfPlace ||
                       path == Path::ZeroCopy || (path == Path::RingWithMeeting && !first);
    const bool arena_output = arena && !(path == Path::ZeroCopy && odd);
    const bool in_place = path == Path::SlicesInPlace || path == Path::RingWithMeeting ||
                          (path == Path::Ring && odd) || (path == Path::PrivateMeeting && !odd);
    const std::size_t bytes = shape.count() * size_of(dtype);
    void* const source = allocate(context, bytes, arena);
    input = ConstTensor(source, dtype, shape);
    writable_input = Tensor(source, dtype, shape);
    output = in_place ? writable_input : Tensor(allocate(context, bytes, arena_output), dtype, shape);
  }

  ConstTensor input;
  Tensor writable_input;
  Tensor output;

 private:
  void* allocate(Context& context, std::size_t bytes, bool arena) {
    if (arena) return shared_.emplace_back(context.allocate_shared(bytes)).data();
    return private_.emplace_back(bytes + 1).data();
  }

  std::vector<SharedMemory> shared_;
  std::vector<std::vector<std::byte>> private_;
};

}  // namespace bluefog::test
