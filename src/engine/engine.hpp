#pragma once
/// @file engine.hpp  Runs operations: posts them, waits for those of the peers, agrees, moves and mixes the
/// data.

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <bluefog/config.hpp>

#include "base/executor.hpp"
#include "base/fork_guard.hpp"
#include "engine/accounts.hpp"
#include "engine/crossing.hpp"
#include "engine/exchange.hpp"
#include "engine/operation.hpp"
#include "engine/stores.hpp"
#include "mixing/kernels.hpp"
#include "trace/timeline.hpp"
#include "transport/transport.hpp"

namespace bluefog::engine {

/// How bytes are moved; measured when a Context is made, or set by the user. Has no influence on any bit of a
/// result.
struct Tuning {
  std::size_t chunk_bytes = std::size_t{512} << 10;
  /// Outputs of at least this many bytes, in memory that is not an input, are stored past the cache.
  std::size_t streaming_threshold = ~std::size_t{0};
  bool spin = true;  ///< ranks have cores of their own
  /// Slots of finished operations are looked through when so many wait, or more large ones than this: the
  /// fewer are in use, the fewer large rings take memory and cache.
  std::size_t retired_before_reclaim = 32;
  std::size_t retired_large_to_keep = 4;
  BulkStores* stores = nullptr;      ///< not null: in tests
  StoreHook* window_hook = nullptr;  ///< not null: in tests
};

class Engine {
 public:
  Engine(transport::Transport& transport, base::Executor& executor, const Config& config, Tuning tuning,
         trace::Timeline* timeline);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Takes the operation; its key is the order of this call. `is_async`: the background thread makes progress
  /// on it.
  [[nodiscard]] std::shared_ptr<Operation> submit(Request request, bool is_async);
  /// Takes an errand; it has no key. Errands are under way beside each other, in no order.
  [[nodiscard]] std::shared_ptr<Operation> submit(std::shared_ptr<Errand> errand, bool is_async);
  /// Steps an errand here and now; only when it has to wait it goes to those under way.
  [[nodiscard]] std::shared_ptr<Operation> run_at_once(std::shared_ptr<Errand> errand);
  /// Drives until the operation is closed or `until` has come. @returns whether it is closed
  bool wait(Operation& operation, base::TimePoint until);
  /// One pass over all operations in flight, unless another thread is at it. @returns whether something moved
  bool drive();
  /// A look at an operation that nobody waits for.
  [[nodiscard]] bool poll(Operation& operation);
  void cancel(Operation& operation);
  /// Waits up to `patience` for operations in flight, fails the rest, refuses new ones.
  void stop(base::Duration patience);
  /// Ends without a word to the peers, as the death of a process would.
  void abandon();
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_acquire); }
  [[nodiscard]] const base::Clock& clock() const { return executor_.clock(); }
  /// Whether somebody else can be told of this rank's operations while its caller waits for that.
  [[nodiscard]] bool gives_ranks_threads() const noexcept { return executor_.gives_ranks_threads(); }
  [[nodiscard]] const Tuning& tuning() const noexcept { return tuning_; }
  [[nodiscard]] Stats stats();
  /// Writes the operations in flight, and what they wait for, to the log. On a thread that may be kept.
  void report();
  /// Whether this process was forked from that of the rank: then no thread drives, and a lock may stay locked
  /// for ever.
  [[nodiscard]] bool is_forked_copy() const noexcept { return home_.is_elsewhere(); }
  /// @throws Shutdown in a forked child
  void require_home() const;
  /// An error about an operation that has succeeded here, or an empty string.
  [[nodiscard]] std::string take_complaint();

 private:
  struct Retired {
    SlotRef slot;
    Key key;
    std::vector<PeerView> peers;
    bool is_large;
  };

  // --- engine.cpp: life of an operation
  [[nodiscard]] Task run(Operation& operation);
  void close_all();
  void admit(bool with_gathered = true);
  [[nodiscard]] bool advance(Operation& operation);
  [[nodiscard]] static bool is_ready(Operation& operation);
  bool pass(bool with_gathered = true);
  void flush(transport::Batch& batch);
  void finish(Operation& operation);
  void remember_reported(const Key& key);
  void background();
  [[nodiscard]] base::TimePoint next_alarm() const;

  [[nodiscard]] std::shared_ptr<Operation> oldest_in_flight();
  void refuse_if_stopped(const Operation& operation) const;
  void start_background_for(const Operation& operation);
  void wake_for(const Operation& operation);

  // --- fusion.cpp: small operations start together
  [[nodiscard]] static bool is_small(const Operation& operation);
  [[nodiscard]] bool is_gathering() const;
  enum class Gathering : std::uint8_t { No, Begins, GoesOn };
  [[nodiscard]] Gathering gather(const Operation& operation);
  void end_gathering();
  [[nodiscard]] bool drive_gathered();

  // --- readiness.cpp: operations whose tensors something else still writes
  [[nodiscard]] bool may_begin(Operation& operation);
  [[nodiscard]] bool waits_for_word() const;
  void check_time_of_next(base::TimePoint now);

  // --- errands.cpp: what is no operation between ranks
  [[nodiscard]] static std::shared_ptr<Operation> make_errand(std::shared_ptr<Errand> errand);
  [[nodiscard]] Task run_errand(Operation& operation);
  void admit_errands();
  bool pass_errands();
  void end_errand(Operation& operation, std::exception_ptr error);

  // --- posting.cpp: the board of this rank
  [[nodiscard]] bool post(Operation& operation);
  [[nodiscard]] bool acquire_slot(SlotRef& slot);
  void refuse_overlap(Operation& operation) const;
  void drop_plan(Operation& operation, const std::string& why) const;
  void announce(Operation& operation);
  void add_peer(Operation& operation, int peer) const;
  void fill_post(Operation& operation) const;
  void show_peers(const Operation& operation);
  void retire(Operation& operation);
  [[nodiscard]] bool is_forgotten(const Retired& retired, const PeerView& peer);
  void reclaim(std::size_t kept);
  void forget_oldest_failure();

  // --- agreement.cpp: does this operation happen?
  [[nodiscard]] Task agree_with_neighbors(Operation& operation);
  [[nodiscard]] Task agree_as_component(Operation& operation);
  [[nodiscard]] Task close_component(Operation& operation);
  /// Of a peer's post. Passed: the peer is through with the call. Gone: it will never make it.
  enum class Sight : std::uint8_t { Found, Passed, Gone, MayCome };
  [[nodiscard]] Sight sight(const Operation& operation, PeerView& peer) const;
  [[nodiscard]] bool look_for(Operation& operation, PeerView& peer);
  [[nodiscard]] bool look_for_all(Operation& operation);
  [[nodiscard]] std::shared_ptr<const mixing::MixingRow> row_of(const PeerView& peer);
  void check_edges(const Operation& operation, const PeerView& peer);
  void compare_posts(const Operation& operation, const PeerView& peer) const;
  void compare_machines(const Operation& operation, const PeerView& peer);
  [[nodiscard]] const mixing::ResolvedRow& resolve_row(Operation& operation);
  [[nodiscard]] std::exception_ptr passed_error(const Operation& operation, int peer);
  /// How the component that is remembered fits what its members do now. Open: it may meet again.
  enum class Memory : std::uint8_t { Open, Fits, Differs };
  [[nodiscard]] Memory compare_with_memory(Operation& operation);
  [[nodiscard]] Task recognize_component(Operation& operation);
  using Rows = std::map<int, std::shared_ptr<const mixing::MixingRow>>;
  void remember_component(Operation& operation, const mixing::Closure& closure, Rows rows);
  [[nodiscard]] std::uint64_t vote_for(const Operation& operation, std::uint64_t component) const;
  enum class Tally : std::uint8_t { Open, Unanimous, Decided, Trouble };
  [[nodiscard]] Tally count_votes(Operation& operation, std::uint64_t own_vote);
  [[nodiscard]] const SlotRef* decision_slot(Operation& operation);
  void settle(Operation& operation, Tally tally);

  // --- over_hosts.cpp: slices that cross between hosts or machines
  void prepare_crossing(Operation& operation);
  [[nodiscard]] Task agree_over_hosts(Operation& operation);
  [[nodiscard]] bool look_for_side(Operation& operation, bool far);
  void compare_in_time(Operation& operation, const PeerView& peer);
  [[nodiscard]] Tally count_votes_over_hosts(Operation& operation, std::uint64_t own_vote);
  [[nodiscard]] Task copy_out(Operation& operation);

  // --- giving_up.cpp: it cannot happen, or not any more
  [[nodiscard]] bool is_gone(int peer) const;
  [[nodiscard]] std::exception_ptr lost_error(const Operation& operation, int lost) const;
  [[nodiscard]] std::exception_ptr lost_error(const Operation& operation, int lost, int witness) const;
  [[nodiscard]] std::exception_ptr withdrawn_error(const Operation& operation, const PeerView& peer) const;
  [[nodiscard]] bool has_enough_of(const Operation& operation, const PeerView& peer) const;
  [[nodiscard]] Task serve(Operation& operation);
  [[nodiscard]] Task withdraw(Operation& operation, std::exception_ptr error);

  // --- movement.cpp: who reads and writes what
  [[nodiscard]] Task move(Operation& operation);
  [[nodiscard]] bool mixes_by_slices(const Operation& operation) const;
  [[nodiscard]] Task mix_slices(Operation& operation);
  [[nodiscard]] Task mix_slice(Operation& operation, int member);
  /// What is left to do for the members that do not do it themselves, once the own slice is mixed.
  struct Remainder {
    bool is_over = true;
    int orphan = -1;  ///< whose slice this rank has to finish
    int lost = -1;    ///< whose slice nobody can finish
  };
  [[nodiscard]] Remainder remainder_of(const Operation& operation) const;
  [[nodiscard]] Task exchange(Operation& operation);
  [[nodiscard]] Task exchange_chunks(Operation& operation, Publication& own, Undo& undo);
  [[nodiscard]] mixing::StoreKind store_for(std::size_t bytes) const;

  // --- waiting.cpp: what operations wait for, for people
  /// Of a peer, before the operation can go on.
  enum class Need : std::uint8_t { Nothing, Call, Vote, Data, Room, End };
  [[nodiscard]] Need need_of(const Operation& operation, const PeerView& peer) const;
  [[nodiscard]] Need need_over_hosts(const Operation& operation, const PeerView& peer) const;
  [[nodiscard]] Need need_of_movement(const Operation& operation, const PeerView& peer, Phase own) const;
  [[nodiscard]] std::string describe_wait(const Operation& operation) const;
  [[nodiscard]] std::string describe_pending(const Operation& operation);
  [[nodiscard]] std::string elapsed(const Operation& operation) const;
  [[nodiscard]] std::string describe_state(const Operation& operation);
  [[nodiscard]] std::string why_none_begins();
  void start_clock(Operation& operation) const;
  void check_time(base::TimePoint now);
  void check_time(Operation& operation, base::TimePoint now, const char* way_out);

  // --- accounts.cpp: what was done, and on whom this rank waited
  void note_wait(Operation& operation);
  void end_wait(Operation& operation);
  void account(const Operation& operation, bool has_failed);
  void account_slices(const Operation& operation);
  void account_crossing(const Operation& operation);

  /// Inside a coroutine: gives up if somebody asked for it.
  void check_trouble(const Operation& operation) const {
    if (operation.trouble) std::rethrow_exception(operation.trouble);
  }

  base::HomeProcess home_;
  transport::Transport& transport_;
  base::Executor& executor_;
  Config config_;
  Tuning tuning_;
  BulkStores own_stores_;
  BulkStores& stores_;
  trace::Timeline* timeline_;
  int rank_;

  std::shared_ptr<UndoMemory> undo_memory_ = std::make_shared<UndoMemory>();
  std::shared_ptr<StagingPool> staging_;

  mutable std::mutex submit_mutex_;
  std::unordered_map<std::uint64_t, std::uint64_t> calls_;  ///< per stream
  std::unordered_map<std::uint64_t, std::weak_ptr<Operation>> named_in_flight_;
  std::uint64_t next_sequence_ = 0;
  std::deque<std::shared_ptr<Operation>> incoming_;
  std::deque<std::shared_ptr<Operation>> incoming_errands_;
  std::atomic<bool> has_incoming_{false};
  std::size_t gathered_bytes_ = 0;  ///< of operations that wait for others
  /// When those start at the latest; written under submit_mutex_.
  std::atomic<base::TimePoint> gathering_ends_{base::TimePoint::max()};
  /// When to look again whether the first of those submitted is ready, if it was not; nobody rings for it.
  std::atomic<base::TimePoint> next_look_{base::TimePoint::max()};

  std::mutex mutex_;  ///< progress: everything below; taken before submit_mutex_
  std::list<std::shared_ptr<Operation>> open_;
  std::list<std::shared_ptr<Operation>> errands_;
  bool has_closed_ = false;  ///< an operation, in this pass
  bool lacks_slot_ = false;  ///< the first of those submitted found none
  std::deque<Retired> retired_;
  std::size_t retired_large_ = 0;  ///< of those
  std::unordered_map<std::uint64_t, std::shared_ptr<const mixing::MixingRow>> rows_;
  Accounts accounts_;
  std::uint64_t posted_through_ = 0;
  std::deque<Key> reported_;  ///< operations whose errors the user has got, the last ones
  std::vector<transport::ComplaintText> held_complaints_;  ///< about operations that are still open

  std::atomic<bool> holds_complaints_{false};
  std::atomic<int> async_open_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> background_stop_{false};
  std::unique_ptr<base::Doorbell> background_bell_;  ///< the background sleeps on it while nothing is async
  std::unique_ptr<base::Background> background_;     ///< started under submit_mutex_
};

}  // namespace bluefog::engine
