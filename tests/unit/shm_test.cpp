// Shared memory between ranks of one host: the arena, the board of posts, the doorbell.

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "base/clock.hpp"
#include "base/doorbell.hpp"
#include "base/hash.hpp"
#include "base/unique_fd.hpp"
#include "transport/shm/arena.hpp"
#include "transport/shm/shm_transport.hpp"

namespace bluefog::transport::shm {
namespace {

constexpr std::size_t megabyte = std::size_t{1} << 20;

bool is_zero(const std::byte* data, std::size_t bytes) {
  return std::all_of(data, data + bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

TEST(ArenaHeap, GivesZeroedAlignedMemoryApart) {
  Arena arena(64 * megabyte, 1);
  std::vector<std::byte*> blocks;
  for (const std::size_t bytes : {1U, 63U, 64U, 65U, 4096U, 1'000'000U, 0U}) {
    std::byte* block = arena.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0U);
    EXPECT_TRUE(arena.contains(block, bytes));
    EXPECT_TRUE(is_zero(block, bytes));
    std::memset(block, 0xff, bytes);
    blocks.push_back(block);
  }
  std::sort(blocks.begin(), blocks.end());
  EXPECT_EQ(std::adjacent_find(blocks.begin(), blocks.end()), blocks.end());
}

TEST(ArenaHeap, ReusesMemoryAndZeroesItAgain) {
  Arena arena(64 * megabyte, 1);
  std::byte* first = arena.allocate(10'000);
  std::byte* second = arena.allocate(10'000);
  std::byte* third = arena.allocate(10'000);
  for (std::byte* block : {first, second, third}) std::memset(block, 0xff, 10'000);
  arena.free(second);
  arena.free(first);  // neighbours become one piece
  std::byte* both = arena.allocate(20'000);
  EXPECT_EQ(both, first);
  EXPECT_TRUE(is_zero(both, 20'000));
  EXPECT_FALSE(is_zero(third, 10'000));
}

TEST(ArenaHeap, SaysWhenItIsExhausted) {
  Arena arena(megabyte, 1);
  EXPECT_THROW(static_cast<void>(arena.allocate(2 * megabyte)), Error);
  std::vector<std::byte*> blocks;
  try {
    while (true) blocks.push_back(arena.allocate(100'000));
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("BLUEFOG_ARENA_SIZE"), std::string::npos) << error.what();
  }
  ASSERT_GT(blocks.size(), 1U);
  for (std::byte* block : blocks) arena.free(block);
  std::byte* again = arena.allocate(100'000 * blocks.size());
  EXPECT_EQ(again, blocks.front());
}

TEST(ArenaHeap, TheFirstBytesAreNotItsOwn) {
  Arena arena(megabyte, 200'000);
  EXPECT_GE(arena.allocate(1), arena.base() + 200'000);
}

/// An arena of a machine that has so much memory left.
class ShortOfMemory : public testing::Test {
 protected:
  std::size_t left_ = 100 * megabyte;
  Arena arena_{1024 * megabyte, 1, [this] {
                 return std::optional(base::MemoryHeadroom{left_ - arena_.mapping().populated(), "the test"});
               }};
};

TEST_F(ShortOfMemory, IsAnErrorBeforeTheKernelKills) {
  std::byte* const before = arena_.allocate(4 * megabyte);
  const std::size_t held = arena_.mapping().populated();
  try {
    static_cast<void>(arena_.allocate(300 * megabyte));
    ADD_FAILURE() << "got memory that is not there";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("the test has"), std::string::npos) << error.what();
  }
  EXPECT_EQ(arena_.mapping().populated(), held) << "memory that nobody can use was kept";
  std::byte* const after = arena_.allocate(20 * megabyte);
  EXPECT_TRUE(is_zero(after, 20 * megabyte));
  EXPECT_EQ(arena_.allocated(), 24 * megabyte);
  arena_.free(before);
  EXPECT_EQ(arena_.allocated(), 20 * megabyte);
}

TEST(Arena, TakesItsFirstBytesByPagesAndTheOthersByLargerBlocks) {
  Arena arena(4 * megabyte, megabyte);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  Mapping& mapping = arena.mapping();
  mapping.populate(5 * page + 1, 10);
  EXPECT_EQ(mapping.populated(), page);
  mapping.populate(4 * page, 3 * page);
  EXPECT_EQ(mapping.populated(), 3 * page) << "one of them was there";
  mapping.populate(megabyte + 1, 10);
  EXPECT_EQ(mapping.populated(), 3 * page + 65536);
  mapping.populate(megabyte - page, page + 65537);
  EXPECT_EQ(mapping.populated(), 4 * page + 2 * 65536);
  mapping.populate(0, arena.bytes());
  EXPECT_EQ(mapping.populated(), arena.bytes());
}

TEST(Arena, MayEndInTheMiddleOfABlock) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t bytes = megabyte + 65536 + page;
  const base::UniqueFd file(::memfd_create("an arena of a test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
  Mapping mapping(file.get(), bytes, megabyte);
  mapping.populate(bytes - 1, 1);
  EXPECT_EQ(mapping.populated(), page);
  mapping.populate(megabyte, bytes - megabyte);
  EXPECT_EQ(mapping.populated(), 65536 + page);
}

/// The lines of /proc/self/smaps about the mapping that holds an address.
std::string smaps_of(const void* address) {
  std::ifstream file("/proc/self/smaps");
  std::string line;
  std::string found;
  bool inside = false;
  while (std::getline(file, line)) {
    std::uintptr_t first = 0;
    std::uintptr_t last = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &first, &last) == 2) {
      inside = first <= reinterpret_cast<std::uintptr_t>(address) &&
               reinterpret_cast<std::uintptr_t>(address) < last;
    }
    if (inside) found += line + "\n";
  }
  return found;
}

TEST(Arena, IsLeftOutOfCoreDumps) {
  Arena arena(megabyte, 1);
  const std::string lines = smaps_of(arena.base());
  const std::size_t flags = lines.find("VmFlags:");
  ASSERT_NE(flags, std::string::npos) << lines;
  EXPECT_NE(lines.find(" dd", flags), std::string::npos) << lines;
}

TEST(ArenaFork, AChildCannotWriteIntoIt) {
  Arena arena(megabyte, 1);
  auto* word = reinterpret_cast<std::atomic<int>*>(arena.allocate(64));
  word->store(1);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool sees = word->load() == 1;
    word->store(2);
    ::_exit(sees && word->load() == 2 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(word->load(), 1);
}

/// Two ranks in one process.
class Board : public testing::Test {
 protected:
  Board() {
    for (int rank = 0; rank < 2; ++rank)
      arenas_.push_back(ShmTransport::make_arena(rank, std::size_t{4} << 30));
    const auto map = [this](int peer) { return arenas_[static_cast<std::size_t>(peer)]->share_mapping(); };
    for (int rank = 0; rank < 2; ++rank) {
      ranks_.push_back(std::make_unique<ShmTransport>(rank, 2, arenas_[static_cast<std::size_t>(rank)], map));
    }
  }
  ShmTransport& owner() { return *ranks_[0]; }
  ShmTransport& peer() { return *ranks_[1]; }

  SlotRef publish(const Key& key, std::size_t row_words = 3, std::string_view name = "") {
    SlotRef slot;
    EXPECT_TRUE(owner().acquire(slot));
    Post post{};
    post.key = key;
    post.sequence = key.count;
    post.is_named = name.empty() ? 0 : 1;
    std::vector<std::uint64_t> row(row_words);
    for (std::size_t i = 0; i < row_words; ++i) row[i] = key.count * 1000 + i;
    owner().publish(slot, {post, row, {}, 7, 0, "", name});
    return slot;
  }
  Lookup look(const Key& key) { return peer().find(0, key, seen_, post_); }

  std::vector<std::shared_ptr<Arena>> arenas_;
  std::vector<std::unique_ptr<ShmTransport>> ranks_;
  SlotRef seen_;
  Post post_{};
};

TEST_F(Board, ShowsWhatIsPublishedUntilItIsReclaimed) {
  const Key key{99, 0};
  EXPECT_EQ(look(key), Lookup::NotYet);
  const SlotRef slot = publish(key);
  ASSERT_EQ(look(key), Lookup::Found);
  EXPECT_EQ(post_.key, key);
  EXPECT_EQ(peer().vote(seen_), 7U);
  EXPECT_EQ(peer().phase(seen_), Phase::Posted);
  EXPECT_EQ(peer().row(seen_, post_), (std::vector<std::uint64_t>{0, 1, 2}));
  owner().set_phase(slot, Phase::Running);
  EXPECT_EQ(peer().phase(seen_), Phase::Running);
  const SlotRef stale = seen_;
  owner().reclaim(slot, key);
  EXPECT_EQ(look(key), Lookup::Passed);
  EXPECT_EQ(look(Key{99, 1}), Lookup::NotYet);
  EXPECT_EQ(look(Key{98, 0}), Lookup::NotYet);
  EXPECT_EQ(peer().phase(stale), Phase::Left)
      << "a reclaimed slot belongs to an operation that its rank has left";
  EXPECT_TRUE(peer().row(stale, post_).empty());
}

TEST_F(Board, ABatchRingsEachPeerOnceAndAtItsEnd) {
  base::Doorbell& bell = peer().doorbell();
  const auto rings = [&bell, before = bell.announce()] {
    const std::uint32_t seen = bell.announce() - before;
    bell.leave();
    return seen;
  };
  const SlotRef slot = publish(Key{5, 0});
  owner().show(1, slot);
  EXPECT_EQ(rings(), 1U);
  {
    Batch batch(owner());
    for (int i = 0; i < 3; ++i) owner().show(1, slot);
    EXPECT_EQ(rings(), 1U);
    batch.flush();
    EXPECT_EQ(rings(), 2U);
    owner().show(1, slot);
  }
  EXPECT_EQ(rings(), 3U);
  bell.leave();
}

TEST_F(Board, RemembersTheLatestOfAnyNumberOfStreams) {
  constexpr std::uint64_t streams = 20'000;
  for (std::uint64_t stream = 1; stream <= streams; ++stream) {
    const Key key{base::mix_bits(stream), 0};
    owner().reclaim(publish(key), key);
    ASSERT_EQ(look(key), Lookup::Passed) << "stream " << stream;
    ASSERT_EQ(look(Key{key.stream, 1}), Lookup::NotYet) << "stream " << stream;
  }
}

TEST_F(Board, ListsTheCallsThatItsRankIsIn) {
  EXPECT_TRUE(peer().pending(0).empty());
  const Key later{7, 1};
  const SlotRef second = publish(later, 3, "a name");
  const SlotRef first = publish(Key{8, 0});
  const SlotRef left = publish(Key{9, 2});
  owner().set_phase(second, Phase::Running);
  owner().set_phase(left, Phase::Left);
  for (ShmTransport* seen_by : {&peer(), &owner()}) {
    const auto calls = seen_by->pending(0);
    ASSERT_EQ(calls.size(), 2U);
    EXPECT_EQ(calls[0].post.key, (Key{8, 0}));
    EXPECT_EQ(calls[0].name, "");
    EXPECT_EQ(calls[1].post.key, later);
    EXPECT_EQ(calls[1].name, "a name");
  }
  owner().reclaim(first, Key{8, 0});
  EXPECT_EQ(peer().pending(0).size(), 1U);
  owner().set_oldest_open(2);
  EXPECT_TRUE(peer().pending(0).empty());
}

TEST_F(Board, KeepsRowsThatDoNotFitIntoASlot) {
  const Key key{5, 3};
  const SlotRef slot = publish(key, 500);
  ASSERT_EQ(look(key), Lookup::Found);
  const auto row = peer().row(seen_, post_);
  ASSERT_EQ(row.size(), 500U);
  EXPECT_EQ(row[499], 3499U);
  owner().reclaim(slot, key);
}

TEST_F(Board, AChunkTakesAsMuchMemoryAsItHasBytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  SlotRef slot;
  ASSERT_TRUE(owner().acquire(slot));
  Post post{};
  post.key = {5, 0};
  post.dims = 1;
  post.extents[0] = static_cast<std::int64_t>((ring_bytes / 8 + page) / sizeof(float));
  post.dtype = DType::Float32;
  post.chunk_bytes = ring_bytes / 8;
  owner().publish(slot, {post, {}, {}, 0, 0, "", ""});
  ASSERT_EQ(look(post.key), Lookup::Found);
  const auto populated = [this] { return arenas_[0]->mapping().populated(); };
  const std::size_t before = populated();
  static_cast<void>(peer().chunk(seen_, post_, 1));
  EXPECT_EQ(populated() - before, page) << "the last chunk is shorter";
  static_cast<void>(peer().chunk(seen_, post_, 0));
  EXPECT_EQ(populated() - before, ring_bytes / 8 + page);
}

TEST_F(Board, FindsKeysThatShareABucket) {
  // All of these have the same home, which holds a few only.
  std::vector<std::pair<Key, SlotRef>> posted;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Key key{1 + i * bucket_count, 0};
    posted.emplace_back(key, publish(key));
  }
  for (const auto& [key, slot] : posted) {
    ASSERT_EQ(look(key), Lookup::Found);
    EXPECT_EQ(seen_.slot, slot.slot);
  }
  for (std::size_t i = 0; i < posted.size(); i += 2) owner().reclaim(posted[i].second, posted[i].first);
  for (std::size_t i = 0; i < posted.size(); ++i) {
    EXPECT_EQ(look(posted[i].first), i % 2 == 0 ? Lookup::Passed : Lookup::Found) << i;
  }
}

TEST_F(Board, IsFullAfterAllSlotsAndWorksAfterwards) {
  std::vector<std::pair<Key, SlotRef>> posted;
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < slot_count; ++i) {
      const Key key{77, static_cast<std::uint64_t>(round) * slot_count + i};
      posted.emplace_back(key, publish(key));
    }
    SlotRef none;
    EXPECT_FALSE(owner().acquire(none));
    for (const auto& [key, slot] : posted) {
      ASSERT_EQ(look(key), Lookup::Found);
      owner().reclaim(slot, key);
      ASSERT_EQ(look(key), Lookup::Passed);
    }
    posted.clear();
  }
}

TEST_F(Board, ADecisionBelongsToOneOperation) {
  using State = Decision::State;
  const SlotRef slot = publish({1, 0});
  ASSERT_EQ(look({1, 0}), Lookup::Found);
  EXPECT_EQ(peer().decision(seen_).state, State::Open);
  EXPECT_EQ(peer().decide(seen_, {State::Aborted, 1}).state, State::Aborted);
  const Decision late = owner().decide(slot, {State::Started, -1});
  EXPECT_EQ(late.state, State::Aborted) << "the first one wins";
  EXPECT_EQ(late.aborted_by, 1);
  owner().reclaim(slot, {1, 0});
  const SlotRef next = publish({1, 1});
  ASSERT_EQ(next.slot, slot.slot);
  EXPECT_EQ(owner().decision(next).state, State::Open);
}

TEST_F(Board, TellsWhyARankGaveUp) {
  const SlotRef own = publish({5, 0});
  SlotRef found;
  Post post{};
  ASSERT_EQ(peer().find(0, {5, 0}, found, post), Lookup::Found);
  EXPECT_EQ(peer().reason(found).lost, -1);
  owner().set_reason(own, {"rank 0 was lost", 0});
  EXPECT_EQ(peer().reason(found).text, "rank 0 was lost");
  EXPECT_EQ(peer().reason(found).lost, 0);
}

TEST_F(Board, APeerGoesOnInTheNameOfTheOwner) {
  const SlotRef own = publish({5, 0});
  owner().log(own, 100)[99] = std::byte{7};
  owner().set_produced(own, 3);
  SlotRef found;
  Post post{};
  ASSERT_EQ(peer().find(0, {5, 0}, found, post), Lookup::Found);
  EXPECT_EQ(peer().log(found, 100)[99], std::byte{7});
  EXPECT_EQ(peer().produced(found), 3U);
  peer().set_produced(found, 4);
  peer().set_phase(found, Phase::Done);
  EXPECT_EQ(owner().produced(own), 4U);
  EXPECT_EQ(owner().phase(own), Phase::Done);
}

TEST_F(Board, BeatsAreCountedUntilTheRankLeaves) {
  EXPECT_EQ(peer().beats_of(0), std::nullopt) << "of a rank that was not met yet";
  EXPECT_EQ(peer().state(0), PeerState::Alive);
  EXPECT_EQ(peer().beats_of(0), 0U);
  owner().beat();
  owner().beat();
  EXPECT_EQ(peer().beats_of(0), 2U);
  owner().leave();
  EXPECT_EQ(peer().beats_of(0), std::nullopt);
}

TEST_F(Board, HandsOverOneComplaintOfARank) {
  EXPECT_FALSE(owner().take_complaint());
  peer().complain(0, {8, 9}, "first");
  peer().complain(0, {8, 10}, "second");
  const auto complaint = owner().take_complaint();
  ASSERT_TRUE(complaint);
  EXPECT_EQ(complaint->text, "first");
  EXPECT_EQ(complaint->key, (Key{8, 9}));
  EXPECT_FALSE(owner().take_complaint());
}

TEST_F(Board, KnowsWhoHasLeftAndWhoIsLost) {
  EXPECT_EQ(peer().state(0), PeerState::Alive);
  owner().leave();
  EXPECT_EQ(peer().state(0), PeerState::Left);
  peer().set_lost(0);
  EXPECT_EQ(peer().state(0), PeerState::Left) << "whose process has ended since";
  owner().set_lost(1);
  EXPECT_EQ(owner().state(1), PeerState::Lost);
}

TEST_F(Board, ARankWhoseArenaCannotBeMappedIsLost) {
  ShmTransport far_sighted(0, 2, arenas_[0], [](int) -> std::shared_ptr<Mapping> {
    throw Error("cannot map a shared-memory arena");
  });
  SlotRef seen;
  Post post{};
  EXPECT_EQ(far_sighted.find(1, {99, 0}, seen, post), Lookup::NotYet);
  EXPECT_EQ(far_sighted.state(1), PeerState::Lost);
  EXPECT_EQ(far_sighted.why_lost(1), "cannot map a shared-memory arena");
  EXPECT_EQ(far_sighted.beats_of(1), std::nullopt);
  for (int time = 0; time < 2; ++time) EXPECT_THROW(static_cast<void>(far_sighted.map(1, 0, 8)), PeerLost);
  far_sighted.show(1, seen);
}

TEST_F(Board, AnArenaOfAnotherLayoutIsNeverRead) {
  const auto other = std::make_shared<Arena>(std::size_t{4} << 30, transport::shm::reserved_bytes);
  ShmTransport rank(0, 2, arenas_[0], [&](int) { return other->share_mapping(); });
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(rank.state(1), PeerState::Lost);
    EXPECT_THROW(static_cast<void>(rank.map(1, 0, 8)), PeerLost);
  }
  EXPECT_NE(rank.why_lost(1).find("another layout"), std::string::npos);
}

TEST_F(Board, SeveralThreadsShareTheComplaints) {
  constexpr std::uint64_t complaints = 2000;
  std::atomic<std::uint64_t> taken{0};
  const auto take = [&] {
    while (taken.load() < complaints) {
      const auto complaint = owner().take_complaint();
      if (!complaint) continue;
      EXPECT_EQ(complaint->text, std::to_string(complaint->key.count));
      taken.fetch_add(1);
    }
  };
  std::jthread first(take);
  std::jthread second(take);
  for (std::uint64_t count = 0; count < complaints; ++count) {
    peer().complain(0, {8, count}, std::to_string(count));
    while (taken.load() <= count) std::this_thread::yield();
  }
}

/// Passes a word to and fro, sleeping in between.
void play(std::atomic<int>& turn, base::DoorbellWords& own, base::DoorbellWords& other, int me, int rounds) {
  const base::SteadyClock clock;
  for (int round = 0; round < rounds; ++round) {
    while (turn.load() % 2 != me) {
      const std::uint32_t announced = own.announce();
      if (turn.load() % 2 != me) own.sleep(announced, base::TimePoint::max(), clock);
      own.leave();
    }
    turn.fetch_add(1);
    other.ring();
  }
}

TEST(Doorbell, WakesAcrossProcesses) {
  struct Shared {
    base::DoorbellWords bells[2];
    std::atomic<int> turn{0};
  };
  void* const page =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* const shared = new (page) Shared;
  constexpr int rounds = 2000;  // a lost wake-up would hang: there is no deadline
  const pid_t child = ::fork();
  if (child == 0) {
    play(shared->turn, shared->bells[1], shared->bells[0], 1, rounds);
    ::_exit(0);
  }
  play(shared->turn, shared->bells[0], shared->bells[1], 0, rounds);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(shared->turn.load(), 2 * rounds);
  ::munmap(page, sizeof(Shared));
}

TEST(Doorbell, SleepEndsAtItsDeadline) {
  base::DoorbellWords bell;
  const base::SteadyClock clock;
  const auto until = clock.now() + std::chrono::milliseconds(5);
  const std::uint32_t announced = bell.announce();
  while (clock.now() < until) bell.sleep(announced, until, clock);
  bell.leave();
  EXPECT_GE(clock.now(), until);
}

}  // namespace
}  // namespace bluefog::transport::shm
