#include "membership/rendezvous.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <future>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "membership/fd_message.hpp"
#include "membership/rendezvous_address.hpp"
#include "membership/rendezvous_protocol.hpp"
#include "quiet_fork.hpp"

namespace bluefog::membership {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 20s;

class RunningServer {
 public:
  explicit RunningServer(int size)
      : size_(size),
        server_(std::make_unique<RendezvousServer>(io_, ServedJob::on_one_host(size))),
        thread_([this] { io_.run(); }) {}
  ~RunningServer() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] {
      server_.reset();
      guard_.reset();
    });
    thread_.join();
  }
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  int size_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
  std::unique_ptr<RendezvousServer> server_;
  std::string address_ = server_->address();
  std::thread thread_;
};

base::UniqueFd open_pidfd(pid_t pid) {
  return base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

Card card_of(int rank) {
  Card card;
  card.rank = rank;
  card.pid = ::getpid();
  card.arena_bytes = 1000 + static_cast<std::uint64_t>(rank);
  card.arena.reset(::memfd_create("test", MFD_CLOEXEC));
  const std::string text = "arena of " + std::to_string(rank);
  EXPECT_EQ(::pwrite(card.arena.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  card.pidfd = open_pidfd(::getpid());
  return card;
}

struct Joined {
  std::unique_ptr<RendezvousClient> client;
  Roster roster;
};

Joined join(const RunningServer& server, int rank, std::chrono::milliseconds timeout = patience) {
  Joined joined;
  joined.client =
      RendezvousClient::join(server.address(), server.size(), card_of(rank), timeout, joined.roster);
  return joined;
}

std::vector<Joined> join_all(const RunningServer& server) {
  std::vector<std::future<Joined>> ranks;
  for (int rank = 0; rank < server.size(); ++rank) {
    ranks.push_back(std::async(std::launch::async, [&server, rank] { return join(server, rank); }));
  }
  std::vector<Joined> joined;
  joined.reserve(ranks.size());
  for (auto& rank : ranks) joined.push_back(rank.get());
  return joined;
}

template <typename Exception, typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  return "(no such exception)";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

class RendezvousOfSize : public ::testing::TestWithParam<int> {};

TEST_P(RendezvousOfSize, GivesEachRankTheCardsOfAllOthers) {
  const RunningServer server(GetParam());
  const std::vector<Joined> ranks = join_all(server);
  for (int self = 0; self < server.size(); ++self) {
    const Roster& roster = ranks[static_cast<std::size_t>(self)].roster;
    EXPECT_EQ(roster.job, ranks[0].roster.job);
    EXPECT_EQ(roster.generation, 0U);
    EXPECT_EQ(roster.size, server.size());
    ASSERT_EQ(roster.members.size(), static_cast<std::size_t>(server.size()));
    for (int other = 0; other < server.size(); ++other) {
      const Card& card = roster.members[static_cast<std::size_t>(other)];
      EXPECT_EQ(card.rank, other);
      EXPECT_EQ(card.pid, ::getpid());
      EXPECT_EQ(card.arena_bytes, 1000U + static_cast<unsigned>(other));
      EXPECT_EQ(card.arena.valid(), other != self);
      EXPECT_EQ(card.pidfd.valid(), other != self);
      if (other == self) continue;
      std::array<char, 64> text{};
      EXPECT_GT(::pread(card.arena.get(), text.data(), text.size() - 1, 0), 0);
      EXPECT_EQ(std::string(text.data()), "arena of " + std::to_string(other));
      EXPECT_NE(::fcntl(card.arena.get(), F_GETFD) & FD_CLOEXEC, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, RendezvousOfSize, ::testing::Values(1, 2, 3, 8, 16));

TEST(Rendezvous, PidfdOfADeadPeerBecomesReadable) {
  std::array<int, 2> gate{};
  ASSERT_EQ(::pipe2(gate.data(), O_CLOEXEC), 0);
  const pid_t child = test::quiet_fork();
  if (child == 0) {
    char byte = 0;
    (void)!::read(gate[0], &byte, 1);
    ::_exit(0);
  }
  const RunningServer server(2);
  auto first = std::async(std::launch::async, [&] { return join(server, 0); });
  Card card = card_of(1);
  card.pid = child;
  card.pidfd = open_pidfd(child);
  Roster roster;
  const auto second = RendezvousClient::join(server.address(), 2, std::move(card), patience, roster);
  const Joined joined = first.get();
  pollfd entry{joined.roster.members[1].pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
  EXPECT_EQ(::write(gate[1], "x", 1), 1);
  EXPECT_EQ(::poll(&entry, 1, 20'000), 1);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(gate[0]);
  ::close(gate[1]);
}

TEST(Rendezvous, HandsOutOneKeyAndTheAddressesOfAll) {
  const RunningServer server(2);
  const auto join_with = [&server](int rank, std::vector<transport::tcp::Endpoint> endpoints) {
    return std::async(std::launch::async, [&server, rank, endpoints] {
      Card card = card_of(rank);
      card.placement = 40 + static_cast<std::uint64_t>(rank);
      card.endpoints = endpoints;
      Joined joined;
      joined.client =
          RendezvousClient::join(server.address(), server.size(), std::move(card), patience, joined.roster);
      return joined;
    });
  };
  auto addresses = transport::tcp::parse_addresses("127.0.0.1,::1");
  addresses[1].port = 4711;
  auto first = join_with(0, addresses);
  auto second = join_with(1, {});
  const Roster ours = first.get().roster;
  const Roster theirs = second.get().roster;
  EXPECT_TRUE(ours.key.is_set());
  EXPECT_TRUE(std::ranges::equal(ours.key.reveal(), theirs.key.reveal()));
  for (const Roster* roster : {&ours, &theirs}) {
    EXPECT_EQ(roster->members[0].endpoints, addresses);
    EXPECT_TRUE(roster->members[1].endpoints.empty());
    EXPECT_EQ(roster->members[0].placement, 40U);
    EXPECT_EQ(roster->members[1].placement, 41U);
  }
  const RunningServer other(1);
  EXPECT_FALSE(std::ranges::equal(join(other, 0).roster.key.reveal(), ours.key.reveal()));
}

TEST(Rendezvous, LaterGenerationsCountUpwards) {
  const RunningServer server(3);
  std::uint64_t job = 0;
  for (std::uint64_t generation = 0; generation < 20; ++generation) {
    const std::vector<Joined> ranks = join_all(server);
    if (generation == 0) job = ranks[0].roster.job;
    for (const Joined& rank : ranks) {
      EXPECT_EQ(rank.roster.generation, generation);
      EXPECT_EQ(rank.roster.job, job);
    }
  }
}

TEST(Rendezvous, ARankMayRejoinWhileOthersStillBelongToTheOldGeneration) {
  const RunningServer server(2);
  std::vector<Joined> ranks = join_all(server);
  ranks[0].client.reset();
  auto early = std::async(std::launch::async, [&] { return join(server, 0); });
  ranks[1].client.reset();
  EXPECT_EQ(join(server, 1).roster.generation, 1U);
  EXPECT_EQ(early.get().roster.generation, 1U);
}

TEST(Rendezvous, RefusesARankThatIsAlive) {
  const RunningServer server(2);
  const std::vector<Joined> ranks = join_all(server);
  const std::string message = message_of<InvalidArgument>([&] { (void)join(server, 1); });
  expect_contains(message, "rank 1 of 2");
  expect_contains(message, "alive (pid " + std::to_string(::getpid()) + ")");
}

TEST(Rendezvous, AcceptsARankAgainAfterItsDeathThoughAForkedChildHoldsTheConnection) {
  const RunningServer server(2);
  const pid_t dead = test::quiet_fork();
  if (dead == 0) ::_exit(0);
  base::UniqueFd pidfd = open_pidfd(dead);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  // This process plays the child: its connection stays open, while the pidfd tells of the death.
  Card card = card_of(0);
  card.pidfd = std::move(pidfd);
  Roster stale;
  auto first = std::async(std::launch::async, [&] {
    return RendezvousClient::join(server.address(), 2, std::move(card), patience, stale);
  });
  const Joined second = join(server, 1);
  const auto held = first.get();
  const std::string message = message_of<Timeout>([&] { (void)join(server, 0, 50ms); });
  expect_contains(message, "still missing: rank 1");
}

TEST(Rendezvous, RefusesAnotherSize) {
  const RunningServer server(2);
  Roster roster;
  const std::string message = message_of<InvalidArgument>(
      [&] { (void)RendezvousClient::join(server.address(), 3, card_of(2), patience, roster); });
  expect_contains(message, "expects 3 ranks, but this job has 2");
  EXPECT_TRUE(roster.members.empty());
}

TEST(Rendezvous, RefusesRanksOutOfRangeAndMissingDescriptors) {
  const RunningServer server(2);
  EXPECT_THROW((void)join(server, 2), InvalidArgument);
  EXPECT_THROW((void)join(server, -1), InvalidArgument);
  Roster roster;
  Card bare;
  bare.rank = 0;
  EXPECT_THROW((void)RendezvousClient::join(server.address(), 2, std::move(bare), patience, roster),
               InvalidArgument);
}

TEST(Rendezvous, TimeoutNamesTheMissingRanks) {
  const RunningServer server(4);
  auto patient = std::async(std::launch::async, [&] { return join(server, 2); });
  std::string message;
  do {  // until rank 2 has arrived
    message = message_of<Timeout>([&] { (void)join(server, 0, 20ms); });
  } while (message.find("missing: ranks 1, 2, 3.") != std::string::npos);
  expect_contains(message, "rank 0 of 4");
  expect_contains(message, "missing: ranks 1, 3.");
  expect_contains(message, "BLUEFOG_START_TIMEOUT");

  // Who gave up is out of the generation, which completes once it is back.
  std::vector<std::future<Joined>> others;
  for (const int rank : {0, 1, 3}) {
    others.push_back(std::async(std::launch::async, [&server, rank] { return join(server, rank); }));
  }
  EXPECT_EQ(patient.get().roster.generation, 0U);
  for (auto& other : others) EXPECT_EQ(other.get().roster.generation, 0U);
}

TEST(Rendezvous, AddressesWithoutAServer) {
  Roster roster;
  EXPECT_THROW((void)RendezvousClient::join("tcp:1.2.3.4", 1, card_of(0), patience, roster), InvalidArgument);
  EXPECT_THROW(
      (void)RendezvousClient::join("unix:@" + std::string(200, 'x'), 1, card_of(0), patience, roster),
      InvalidArgument);
  const std::string message = message_of<Error>(
      [&] { (void)RendezvousClient::join("unix:@bluefog-nobody", 1, card_of(0), patience, roster); });
  expect_contains(message, "no rendezvous answers");
}

TEST(Rendezvous, AServerThatVanishesIsAnErrorForThoseWhoWait) {
  RunningServer server(3);
  auto waiting = std::async(std::launch::async, [&] { return join(server, 0); });
  std::string message;
  do {  // until rank 0 has arrived
    message = message_of<Timeout>([&] { (void)join(server, 1, 20ms); });
  } while (message.find("missing: ranks 0, 2.") != std::string::npos);
  expect_contains(message, "missing: rank 2.");
  server.stop();
  expect_contains(message_of<Error>([&] { (void)waiting.get(); }), "the rendezvous vanished");
}

// Connects without the client's checks, to say what no client would.
class Stranger {
 public:
  explicit Stranger(const RunningServer& server)
      : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    const SocketAddress name = parse_rendezvous_address(server.address());
    EXPECT_EQ(::connect(socket_.get(), name.get(), name.length), 0);
  }
  template <typename Message>
  void say(const Message& message, std::span<const int> fds = {}) {
    EXPECT_EQ(send_message(socket_.get(), std::as_bytes(std::span(&message, 1)), fds), Transfer::done);
  }
  // What the server answers; closed without an answer if it says nothing.
  Received answer(protocol::Buffer& buffer) {
    pollfd entry{socket_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 20'000), 1);
    return receive_message(socket_.get(), buffer);
  }

 private:
  base::UniqueFd socket_;
};

TEST(Rendezvous, RefusesAnotherVersionWhateverElseItSays) {
  const RunningServer server(1);
  struct Longer {
    protocol::Hello hello;
    std::array<char, 40> more{};
  } longer;
  protocol::write_text(longer.hello.version, "9.9.9");
  Stranger stranger(server);
  stranger.say(longer);
  protocol::Buffer buffer;
  const Received answer = stranger.answer(buffer);
  ASSERT_EQ(answer.state, Transfer::done);
  const auto refusal = protocol::read_as<protocol::Refusal>(std::span(buffer).first(answer.bytes));
  ASSERT_TRUE(refusal);
  expect_contains(std::string(protocol::read_text(refusal->text)),
                  "its version is 9.9.9, but the rendezvous is of ");
}

TEST(Rendezvous, SurvivesGarbage) {
  const RunningServer server(2);
  const std::ptrdiff_t before = open_descriptors();
  const base::UniqueFd file(::memfd_create("garbage", MFD_CLOEXEC));
  protocol::Buffer buffer;
  for (int round = 0; round < 100; ++round) {
    Stranger noise(server);
    std::array<std::byte, 700> bytes{};
    bytes.fill(static_cast<std::byte>(round));
    noise.say(bytes);
    EXPECT_EQ(noise.answer(buffer).state, Transfer::closed);

    Stranger oversized(server);
    oversized.say(std::array<std::byte, 5000>{});
    EXPECT_EQ(oversized.answer(buffer).state, Transfer::closed);

    Stranger hello_with_one_descriptor(server);
    protocol::Hello hello;
    protocol::write_text(hello.version, BLUEFOG_VERSION);
    hello.size = 2;
    hello.rank = 0;
    hello_with_one_descriptor.say(hello, std::array{file.get()});
    EXPECT_EQ(hello_with_one_descriptor.answer(buffer).state, Transfer::closed);

    Stranger gives_up_first(server);
    gives_up_first.say(protocol::GiveUp{}, std::array{file.get(), file.get(), file.get()});
    EXPECT_EQ(gives_up_first.answer(buffer).state, Transfer::closed);
  }
  std::vector<Stranger> silent;
  for (int count = 0; count < 200; ++count) silent.emplace_back(server);
  EXPECT_EQ(join_all(server)[1].roster.members[0].rank, 0);
  silent.clear();
  (void)join_all(server);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (open_descriptors() > before + 1 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  EXPECT_EQ(open_descriptors(), before + 1);  // one more: `file`
}

}  // namespace
}  // namespace bluefog::membership
