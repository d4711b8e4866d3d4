#pragma once
/// @file memory_in_common.hpp  Memory that two ranks of one host have mapped, with nothing between: what a
/// plain copy costs where the other core reads what was copied.

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bluefog/bluefog.hpp>

namespace bluefog::perf {

class MemoryInCommon {
 public:
  /// Collective; all ranks on one host.
  MemoryInCommon(Context& context, std::size_t count) : bytes_(count * sizeof(float)) {
    const int own = context.rank() == 0 ? make() : -1;
    std::int64_t process_and_file[2] = {::getpid(), own};
    context.broadcast(std::span(process_and_file), 0);
    const std::string path =
        "/proc/" + std::to_string(process_and_file[0]) + "/fd/" + std::to_string(process_and_file[1]);
    const int file = own >= 0 ? own : ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    require(file >= 0, "open");
    address_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    require(address_ != MAP_FAILED, "mmap");
    context.barrier();  // the other has opened it too
    ::close(file);
  }
  ~MemoryInCommon() { ::munmap(address_, bytes_); }
  MemoryInCommon(const MemoryInCommon&) = delete;
  MemoryInCommon& operator=(const MemoryInCommon&) = delete;

  [[nodiscard]] std::span<float> floats() { return {static_cast<float*>(address_), bytes_ / sizeof(float)}; }

 private:
  static void require(bool done, const char* what) {
    if (!done) throw std::system_error(errno, std::generic_category(), what);
  }
  [[nodiscard]] int make() const {
    const int file = ::memfd_create("bfperf", MFD_CLOEXEC);
    require(file >= 0, "memfd_create");
    require(::ftruncate(file, static_cast<off_t>(bytes_)) == 0, "ftruncate");
    return file;
  }

  std::size_t bytes_;
  void* address_ = nullptr;
};

}  // namespace bluefog::perf
