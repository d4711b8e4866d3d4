// The checks of a fortified longjmp take a jump to another stack for an error.
#undef _FORTIFY_SOURCE

#include "transport/sim/fiber.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include <cxxabi.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#if defined(__SANITIZE_THREAD__)
#define BLUEFOG_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define BLUEFOG_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BLUEFOG_TSAN 1
#elif __has_feature(address_sanitizer)
#define BLUEFOG_ASAN 1
#endif
#endif

#if defined(BLUEFOG_TSAN)
#include <sanitizer/tsan_interface.h>
#elif defined(BLUEFOG_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace bluefog::transport::sim {

namespace {

thread_local Fiber* running = nullptr;

/// The exceptions that are being handled belong to a stack, but the C++ runtime keeps them by thread.
struct ExceptionState {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

void swap_exception_state(ExceptionState& other) noexcept {
  auto* const now = reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  std::swap(now->caught, other.caught);
  std::swap(now->uncaught, other.uncaught);
}

/// Tells the sanitizers which stack is in use.
class StackSwitch {
 public:
#if defined(BLUEFOG_TSAN)
  void create() {
    fiber_ = __tsan_create_fiber(0);
  }
  void destroy() {
    __tsan_destroy_fiber(fiber_);
  }
  void before_entering(void*, std::size_t) {
    resumer_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber_, 0);
  }
  void before_leaving(bool) {
    __tsan_switch_to_fiber(resumer_, 0);
  }
  void after_entering() {}
  void after_leaving() {}

 private:
  void* fiber_ = nullptr;
  void* resumer_ = nullptr;
#elif defined(BLUEFOG_ASAN)
  void create() {}
  void destroy() {}
  void before_entering(void* stack, std::size_t bytes) {
    __sanitizer_start_switch_fiber(&resumer_fake_stack_, stack, bytes);
  }
  void after_entering() {
    __sanitizer_finish_switch_fiber(own_fake_stack_, &resumer_stack_, &resumer_bytes_);
  }
  void before_leaving(bool for_ever) {
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &own_fake_stack_, resumer_stack_, resumer_bytes_);
  }
  void after_leaving() {
    __sanitizer_finish_switch_fiber(resumer_fake_stack_, nullptr, nullptr);
  }

 private:
  void* own_fake_stack_ = nullptr;
  void* resumer_fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  std::size_t resumer_bytes_ = 0;
#else
  void create() {}
  void destroy() {}
  void before_entering(void*, std::size_t) {}
  void after_entering() {}
  void before_leaving(bool) {}
  void after_leaving() {}
#endif
};

/// A place in a stack to go on from. swapcontext would ask the kernel for the signal mask at each switch,
/// which takes longer than all the rest; but the sanitizers follow no jumps between stacks.
class Place {
 public:
  void start_at(void (*function)(), std::byte* stack, std::size_t bytes, std::uintptr_t argument) {
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    ::makecontext(&context_, function, 2, static_cast<unsigned int>(argument >> 32),
                  static_cast<unsigned int>(argument));
    is_start_ = true;
  }
  /// Leaves the stack that runs, and goes on at another place; returns when somebody comes back here.
  void leave_for(Place& other) {
#if defined(BLUEFOG_TSAN) || defined(BLUEFOG_ASAN)
    ::swapcontext(&context_, &other.context_);
#else
    if (_setjmp(jump_) != 0) return;
    if (std::exchange(other.is_start_, false)) ::setcontext(&other.context_);
    _longjmp(other.jump_, 1);
#endif
  }

 private:
  ucontext_t context_{};
  bool is_start_ = false;
  [[maybe_unused]] jmp_buf jump_{};
};

}  // namespace

struct Fiber::Impl {
  std::function<void()> body;
  std::byte* mapped = nullptr;
  std::size_t mapped_bytes = 0;
  std::byte* stack = nullptr;  ///< above a page that nobody may touch
  std::size_t stack_bytes = 0;
  Place own;
  Place resumer;
  StackSwitch stack_switch;
  ExceptionState exceptions;
  std::exception_ptr error;
  bool ended = false;

  void leave(bool for_ever) {
    stack_switch.before_leaving(for_ever);
    own.leave_for(resumer);
    stack_switch.after_entering();
  }

  void run() noexcept {
    stack_switch.after_entering();
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
    body = nullptr;
    ended = true;
    leave(true);
  }

  /// makecontext passes ints only.
  static void enter(unsigned int high, unsigned int low) {
    const auto address = static_cast<std::uintptr_t>(high) << 32 | low;
    reinterpret_cast<Impl*>(address)->run();  // NOLINT(performance-no-int-to-ptr)
  }
};

Fiber::Fiber(std::function<void()> body, std::size_t stack_bytes) : impl_(std::make_unique<Impl>()) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  impl_->body = std::move(body);
  impl_->mapped_bytes = stack_bytes + page;
  void* const memory = ::mmap(nullptr, impl_->mapped_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED)
    throw Error(std::string("no memory for the stack of a fiber: ") + std::strerror(errno));
  impl_->mapped = static_cast<std::byte*>(memory);
  impl_->stack = impl_->mapped + page;
  impl_->stack_bytes = stack_bytes;
  ::mprotect(memory, page, PROT_NONE);  // an overflow shall not pass silently
  impl_->own.start_at(reinterpret_cast<void (*)()>(&Impl::enter), impl_->stack, stack_bytes,
                      reinterpret_cast<std::uintptr_t>(impl_.get()));
  impl_->stack_switch.create();
}

Fiber::~Fiber() {
  impl_->stack_switch.destroy();
  ::munmap(impl_->mapped, impl_->mapped_bytes);
}

void Fiber::resume() {
  Fiber* const before = std::exchange(running, this);
  swap_exception_state(impl_->exceptions);
  impl_->stack_switch.before_entering(impl_->stack, impl_->stack_bytes);
  impl_->resumer.leave_for(impl_->own);
  impl_->stack_switch.after_leaving();
  swap_exception_state(impl_->exceptions);
  running = before;
}

void Fiber::suspend() {
  impl_->leave(false);
}
bool Fiber::ended() const noexcept {
  return impl_->ended;
}
std::exception_ptr Fiber::error() const noexcept {
  return impl_->error;
}
Fiber* Fiber::current() noexcept {
  return running;
}

}  // namespace bluefog::transport::sim
