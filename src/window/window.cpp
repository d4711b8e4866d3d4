#include <chrono>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/window.hpp>

#include "window/arguments.hpp"
#include "window/average.hpp"
#include "window/delivery.hpp"
#include "window/freeing.hpp"
#include "window/get.hpp"
#include "window/rank_lock.hpp"
#include "window/update.hpp"
#include "window/windows.hpp"

namespace bluefog {

namespace window {

/// Locks that the user holds, in the order of their acquisition.
class HeldLocks {
 public:
  std::shared_ptr<engine::Session> session;  ///< outlives them
  std::vector<RankLock> locks;
};

namespace {

class LockOperation final : public Operation {
 public:
  LockOperation(std::shared_ptr<Core> core, std::string_view name, const std::vector<LockPlace*>& places,
                std::shared_ptr<HeldLocks> held)
      : Operation(std::move(core), name, false), held_(std::move(held)) {
    held_->locks.reserve(places.size());
    for (LockPlace* place : places) {
      held_->locks.push_back(lock_at(*place));
    }
  }
  [[nodiscard]] std::size_t bytes() const override { return 0; }

 private:
  [[nodiscard]] Task run() override {
    for (RankLock& lock : held_->locks) {
      co_await acquire(lock);
      lock.keep();
      if (lock.is_of_tensor()) core().tensor_changes.fetch_add(1);
    }
  }

  std::shared_ptr<HeldLocks> held_;
};

Handle start(const std::shared_ptr<engine::Session>& session, std::shared_ptr<Operation> operation,
             const WindowCallOptions& options) {
  engine::Engine& engine = session->engine();
  return {std::shared_ptr<engine::Engine>(session, &engine), options.attended
                                                                 ? engine.run_at_once(std::move(operation))
                                                                 : engine.submit(std::move(operation), true)};
}

/// By who waits at once.
WindowCallOptions attended() {
  WindowCallOptions options;
  options.attended = true;
  return options;
}

/// On this thread.
void run(const std::shared_ptr<engine::Session>& session, std::shared_ptr<Operation> operation) {
  start(session, std::move(operation), attended()).wait();
}

Handle hold(const std::shared_ptr<engine::Session>& session, const std::shared_ptr<Core>& core,
            std::string_view name, const std::vector<LockPlace*>& places, WindowLock& lock,
            const WindowCallOptions& options) {
  core->require_usable(name);
  auto held = std::make_shared<HeldLocks>();
  held->session = session;
  auto operation = std::make_shared<LockOperation>(core, name, places, held);
  lock = WindowLock(std::move(held));
  return start(session, std::move(operation), options);
}

WindowUpdateOptions collecting(const Core& core, bool require_mutex, const WindowCallOptions& call) {
  WindowUpdateOptions options;
  static_cast<WindowCallOptions&>(options) = call;
  options.self_weight = 1.0;
  options.src_weights.emplace();
  for (const auto& source : core.row().sources) options.src_weights->emplace(source.rank, 1.0);
  options.reset = true;
  options.require_mutex = require_mutex;
  return options;
}

const std::shared_ptr<Core>& checked(const std::shared_ptr<Core>& core) {
  if (core == nullptr)
    throw InvalidArgument("this Window refers to none; Context::create_window() makes one");
  return core;
}

/// Ranks given, or all of a list.
std::vector<int> ranks_or_all(const Core& core, const std::optional<std::vector<int>>& given,
                              const std::vector<mixing::WeightedRank>& all) {
  std::optional<Weights> wanted;
  if (given) {
    wanted.emplace();
    for (const int rank : *given) wanted->emplace(rank, 1.0);
  }
  std::vector<int> ranks;
  for (const auto& edge : ArgumentCheck(core, "win_mutex").edges(wanted, all, "ranks"))
    ranks.push_back(edge.rank);
  return ranks;
}

}  // namespace

}  // namespace window

using window::checked;
using window::collecting;
using window::Core;
using window::Delivery;
using window::DeliveryOperation;
using window::GetOperation;
using window::hold;
using window::ranks_or_all;
using window::run;
using window::start;
using window::UpdateOperation;

using window::Windows;

// --- WindowLock

WindowLock::WindowLock(std::shared_ptr<window::HeldLocks> locks) : locks_(std::move(locks)) {}
WindowLock::WindowLock(WindowLock&&) noexcept = default;
WindowLock& WindowLock::operator=(WindowLock&&) noexcept = default;
WindowLock::~WindowLock() = default;
void WindowLock::release() {
  locks_.reset();
}

// --- Window

Window::Window(std::shared_ptr<engine::Session> session, std::shared_ptr<Core> core)
    : session_(std::move(session)), core_(std::move(core)) {}

const std::string& Window::name() const {
  return checked(core_)->name();
}
Tensor Window::tensor() const {
  return checked(core_)->tensor();
}
std::vector<int> Window::sources() const {
  std::vector<int> ranks;
  for (const auto& source : checked(core_)->row().sources) ranks.push_back(source.rank);
  return ranks;
}
std::vector<int> Window::destinations() const {
  std::vector<int> ranks;
  for (const auto& destination : checked(core_)->row().destinations) ranks.push_back(destination.rank);
  return ranks;
}

void Window::put(const SentTensor& value, const WindowPutOptions& options) {
  run(session_, std::make_shared<DeliveryOperation>(checked(core_), Delivery::Put, value, options));
}
Handle Window::put_async(const SentTensor& value, const WindowPutOptions& options) {
  return start(session_, std::make_shared<DeliveryOperation>(checked(core_), Delivery::Put, value, options),
               options);
}

void Window::accumulate(const SentTensor& value, const WindowPutOptions& options) {
  run(session_, std::make_shared<DeliveryOperation>(checked(core_), Delivery::Accumulate, value, options));
}
Handle Window::accumulate_async(const SentTensor& value, const WindowPutOptions& options) {
  return start(session_,
               std::make_shared<DeliveryOperation>(checked(core_), Delivery::Accumulate, value, options),
               options);
}

void Window::average_with(int rank) {
  average_with_async(rank, window::attended()).wait();
}
Handle Window::average_with_async(int rank, const WindowCallOptions& options) {
  return start(session_, std::make_shared<window::AverageOperation>(checked(core_), rank), options);
}

void Window::get(const WindowGetOptions& options) {
  run(session_, std::make_shared<GetOperation>(checked(core_), options));
}
Handle Window::get_async(const WindowGetOptions& options) {
  return start(session_, std::make_shared<GetOperation>(checked(core_), options), options);
}

void Window::update(const WindowUpdateOptions& options) {
  run(session_, std::make_shared<UpdateOperation>(checked(core_), "win_update", options));
}
Handle Window::update_async(const WindowUpdateOptions& options) {
  return start(session_, std::make_shared<UpdateOperation>(checked(core_), "win_update", options), options);
}

void Window::update_then_collect(bool require_mutex) {
  update_then_collect_async(require_mutex, window::attended()).wait();
}
Handle Window::update_then_collect_async(bool require_mutex, const WindowCallOptions& options) {
  const WindowUpdateOptions collect = collecting(*checked(core_), require_mutex, options);
  return start(session_, std::make_shared<UpdateOperation>(core_, "win_update_then_collect", collect),
               options);
}

std::map<int, std::uint64_t> Window::versions() const {
  Core& core = *checked(core_);
  core.require_usable("get_win_version");
  std::map<int, std::uint64_t> versions;
  const std::lock_guard lock(core.mutex());
  for (const auto& peer : core.neighbors()) {
    if (peer->reader != nullptr) versions.emplace(peer->rank, peer->reader->versions());
  }
  return versions;
}

double Window::associated_p() const {
  Core& core = *checked(core_);
  core.require_usable("win_associated_p");
  return core.header().push_sum_weight.load();
}

Handle Window::lock_async(WindowLock& lock, const std::optional<std::vector<int>>& ranks,
                          const WindowCallOptions& options) {
  Core& core = *checked(core_);
  std::vector<window::LockPlace*> places;
  for (const int rank : ranks_or_all(core, ranks, core.row().destinations)) {
    core.require_open("win_mutex", *core.neighbor(rank));
    places.push_back(&core.neighbor(rank)->mutex_there);
  }
  return hold(session_, core_, "win_mutex", places, lock, options);
}

Handle Window::lock_own_async(WindowLock& lock, const std::optional<std::vector<int>>& ranks,
                              const WindowCallOptions& options) {
  Core& core = *checked(core_);
  std::vector<window::LockPlace*> places;
  for (const int rank : ranks_or_all(core, ranks, core.row().sources)) {
    places.push_back(&core.neighbor(rank)->mutex_here);
  }
  return hold(session_, core_, "win_mutex", places, lock, options);
}

Handle Window::edit_async(WindowLock& lock, const WindowCallOptions& options) {
  return hold(session_, core_, "win_lock", {&checked(core_)->tensor_lock()}, lock, options);
}

WindowLock Window::lock(const std::optional<std::vector<int>>& ranks) {
  WindowLock lock;
  lock_async(lock, ranks, window::attended()).wait();
  return lock;
}
WindowLock Window::lock_own(const std::optional<std::vector<int>>& ranks) {
  WindowLock lock;
  lock_own_async(lock, ranks, window::attended()).wait();
  return lock;
}
WindowLock Window::edit() {
  WindowLock lock;
  edit_async(lock, window::attended()).wait();
  return lock;
}

void Window::free() {
  free_async(window::attended()).wait();
}
Handle Window::free_async(const WindowCallOptions& options) {
  return start(session_, std::make_shared<window::FreeOperation>(checked(core_)), options);
}
bool Window::is_freed() const {
  return checked(core_)->is_closed();
}

// --- WindowCreation

WindowCreation::WindowCreation(std::shared_ptr<window::Creation> creation) : creation_(std::move(creation)) {}

Handle WindowCreation::handle() const {
  const auto& session = creation_->session;
  return {std::shared_ptr<engine::Engine>(session, &session->engine()), creation_->operation};
}

Window WindowCreation::finish() {
  engine::Engine& engine = creation_->session->engine();
  while (!engine.wait(*creation_->operation, engine.clock().now() + std::chrono::hours(1))) {
  }
  return {creation_->session, Windows::of(*creation_->session).finish(*creation_)};
}

// --- Context

WindowCreation Context::create_window_async(const std::string& name, Tensor tensor,
                                            const WindowOptions& options) {
  session()->engine().require_home();
  Windows& windows = Windows::of(*session());
  auto creation = std::make_shared<window::Creation>();
  creation->session = session();
  creation->core = std::make_shared<Core>(windows, name, tensor, options.averages);
  windows.begin(*creation, tensor, options);
  return WindowCreation(std::move(creation));
}
Window Context::create_window(const std::string& name, Tensor tensor, const WindowOptions& options) {
  return create_window_async(name, tensor, options).finish();
}
Window Context::window(const std::string& name) const {
  return {session(), Windows::of(*session()).find(name, "window")};
}
std::vector<std::string> Context::window_names() const {
  return Windows::of(*session()).names();
}
void Context::use_associated_p(bool on) {
  Windows::of(*session()).moves_push_sum_weights = on;
}
bool Context::uses_associated_p() const {
  return Windows::of(*session()).moves_push_sum_weights;
}

}  // namespace bluefog
