// Rendezvous of several hosts, whose agents and bfrun are played by one object.
#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "membership/gathering.hpp"
#include "membership/rendezvous.hpp"

namespace bluefog::membership {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 20s;

/// Hosts with so many ranks each, and what is above them.
class Hosts {
 public:
  explicit Hosts(const std::vector<int>& ranks_of_hosts) {
    for (const int ranks : ranks_of_hosts) size_ += ranks;
    gathering_ = std::make_unique<Gathering>(size_);
    int first_rank = 0;
    const base::JobKey key = base::JobKey::random();
    for (const int ranks : ranks_of_hosts) {
      hosts_.push_back(std::make_unique<Host>(*this));
      hosts_.back()->server = std::make_unique<RendezvousServer>(
          io_, ServedJob{4711, key, size_, first_rank, ranks}, hosts_.back().get());
      addresses_.insert(addresses_.end(), static_cast<std::size_t>(ranks), hosts_.back()->server->address());
      first_rank += ranks;
    }
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Hosts() {
    on_its_thread([this] { hosts_.clear(); });
    guard_.reset();
    thread_.join();
  }
  Hosts(const Hosts&) = delete;
  Hosts& operator=(const Hosts&) = delete;

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] const std::string& address_of(int rank) const {
    return addresses_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] std::vector<int> missing() {
    std::vector<int> ranks;
    on_its_thread([&] { ranks = gathering_->missing(); });
    return ranks;
  }
  void wait_until_missing(const std::vector<int>& ranks) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (missing() != ranks) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
  void tell_loss(std::size_t host, int rank, const std::string& why) {
    on_its_thread([&] { hosts_[host]->server->tell_loss(rank, why); });
  }
  /// Complete generations go out only once they are let go; what comes from ranks meanwhile comes too late.
  void hold() {
    on_its_thread([this] { is_held_ = true; });
  }
  void let_go() {
    on_its_thread([this] {
      is_held_ = false;
      for (const auto& action : held_) action();
      held_.clear();
    });
  }
  /// Whether so many actions are held back.
  void wait_until_held(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    std::size_t held = 0;
    while (held < count) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      on_its_thread([&] { held = held_.size(); });
    }
  }

 private:
  struct Host final : Upstream {
    explicit Host(Hosts& owner) : all(owner) {}
    void on_waiting(const Seat& seat) override {
      all.gathering_->take(seat);
      if (auto generation = all.gathering_->complete()) {
        all.act([this, generation] {
          for (const auto& host : all.hosts_) host->server->complete(*generation);
        });
      }
    }
    void on_left(int rank, std::uint64_t ticket) override {
      all.gathering_->leave(rank, ticket);
      const MissingRanks missing{all.gathering_->missing(), "b, c"};
      all.act([this, rank, ticket, missing] { server->confirm_leave(rank, ticket, missing); });
    }
    Hosts& all;
    std::unique_ptr<RendezvousServer> server;
  };

  // What comes from above comes later, never inside of the call.
  void act(const std::function<void()>& action) {
    if (is_held_) return held_.push_back(action);
    asio::post(io_, action);
  }
  template <typename Action>
  void on_its_thread(const Action& action) {
    std::promise<void> done;
    asio::post(io_, [&] {
      action();
      done.set_value();
    });
    done.get_future().get();
  }

  int size_ = 0;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
  std::unique_ptr<Gathering> gathering_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<std::string> addresses_;
  bool is_held_ = false;
  std::vector<std::function<void()>> held_;
  std::thread thread_;
};

struct Joined {
  std::unique_ptr<RendezvousClient> client;
  Roster roster;
};

Joined join(const Hosts& hosts, int rank, std::chrono::milliseconds timeout = patience) {
  Card card;
  card.rank = rank;
  card.pid = ::getpid();
  card.arena.reset(::memfd_create("test", MFD_CLOEXEC));
  card.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  card.placement = 7;
  card.endpoints = transport::tcp::parse_addresses("10.0.0." + std::to_string(rank + 1) + ",::1");
  for (auto& endpoint : card.endpoints) endpoint.port = static_cast<std::uint16_t>(1000 + rank);
  Joined joined;
  joined.client =
      RendezvousClient::join(hosts.address_of(rank), hosts.size(), std::move(card), timeout, joined.roster);
  return joined;
}

std::future<Joined> join_later(const Hosts& hosts, int rank, std::chrono::milliseconds timeout = patience) {
  return std::async(std::launch::async, [&hosts, rank, timeout] { return join(hosts, rank, timeout); });
}

std::vector<Joined> join_all(const Hosts& hosts) {
  std::vector<std::future<Joined>> ranks;
  for (int rank = 0; rank < hosts.size(); ++rank) ranks.push_back(join_later(hosts, rank));
  std::vector<Joined> joined;
  for (auto& rank : ranks) joined.push_back(rank.get());
  return joined;
}

TEST(RendezvousOfHosts, NearMembersComeWithDescriptorsAndFarOnesWithAddresses) {
  const Hosts hosts({2, 1, 3});
  const std::vector<int> host_of{0, 0, 1, 2, 2, 2};
  const std::vector<Joined> ranks = join_all(hosts);
  for (std::size_t self = 0; self < ranks.size(); ++self) {
    const Roster& roster = ranks[self].roster;
    EXPECT_EQ(roster.job, 4711U);
    EXPECT_EQ(roster.generation, 0U);
    EXPECT_TRUE(roster.key.is_set());
    EXPECT_TRUE(std::ranges::equal(roster.key.reveal(), ranks[0].roster.key.reveal()));
    for (std::size_t other = 0; other < ranks.size(); ++other) {
      const Card& card = roster.members[other];
      EXPECT_EQ(card.rank, static_cast<int>(other));
      EXPECT_EQ(card.placement, 7U);
      ASSERT_EQ(card.endpoints.size(), 2U);
      EXPECT_EQ(card.endpoints[0].to_string(),
                "10.0.0." + std::to_string(other + 1) + ":" + std::to_string(1000 + other));
      EXPECT_EQ(card.arena.valid(), other != self && host_of[other] == host_of[self]);
      EXPECT_EQ(card.pidfd.valid(), card.arena.valid());
    }
  }
}

TEST(RendezvousOfHosts, GenerationsFollowEachOther) {
  const Hosts hosts({2, 2});
  for (std::uint64_t generation = 0; generation < 10; ++generation) {
    for (const Joined& rank : join_all(hosts)) EXPECT_EQ(rank.roster.generation, generation);
  }
}

TEST(RendezvousOfHosts, RefusesTheRankOfAnotherHost) {
  const Hosts hosts({2, 2});
  Roster roster;
  Card card;
  card.rank = 3;
  card.arena.reset(::memfd_create("test", MFD_CLOEXEC));
  card.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  EXPECT_THROW(
      (void)RendezvousClient::join(hosts.address_of(0), hosts.size(), std::move(card), patience, roster),
      InvalidArgument);
}

TEST(RendezvousOfHosts, WhoGivesUpLearnsWhoIsMissingEverywhere) {
  Hosts hosts({2, 1, 1});
  auto patient = join_later(hosts, 2);
  hosts.wait_until_missing({0, 1, 3});
  std::string message;
  try {
    (void)join(hosts, 0, 20ms);
  } catch (const Timeout& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("still missing: ranks 1, 3; none has joined on b, c."), std::string::npos)
      << message;
  EXPECT_EQ(hosts.missing(), (std::vector{0, 1, 3}));

  std::vector<std::future<Joined>> others;
  for (const int rank : {0, 1, 3}) others.push_back(join_later(hosts, rank));
  EXPECT_EQ(patient.get().roster.generation, 0U);
  for (auto& other : others) EXPECT_EQ(other.get().roster.generation, 0U);
}

// Without one place that decides, rank 0 would raise while all others believe that it is in.
TEST(RendezvousOfHosts, WhoGivesUpTooLateIsInTheGeneration) {
  Hosts hosts({1, 1});
  auto other = join_later(hosts, 1);
  hosts.wait_until_missing({0});
  hosts.hold();
  auto hasty = join_later(hosts, 0, 1ms);
  hosts.wait_until_held(2);  // its generation is complete; then it gives up
  hosts.let_go();
  EXPECT_EQ(hasty.get().roster.generation, 0U);
  EXPECT_EQ(other.get().roster.generation, 0U);
}

TEST(RendezvousOfHosts, ALossIsToldToMembers) {
  Hosts hosts({2, 1});
  const std::vector<Joined> ranks = join_all(hosts);
  hosts.tell_loss(0, 2, "was killed by signal 9 on b");
  for (const int rank : {0, 1}) {
    RendezvousClient& client = *ranks[static_cast<std::size_t>(rank)].client;
    pollfd entry{client.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 20'000), 1);
    const auto loss = client.take_loss();
    ASSERT_TRUE(loss);
    EXPECT_EQ(loss->rank, 2);
    EXPECT_EQ(loss->why, "was killed by signal 9 on b");
    EXPECT_FALSE(client.take_loss());
    EXPECT_FALSE(client.has_ended());
  }
}

Seat seat_of(int rank, std::uint64_t ticket) {
  return {rank, ticket, 0, {}};
}

TEST(Gathering, AnOlderAttemptDoesNotTakeTheLaterOneAway) {
  Gathering gathering(2);
  gathering.take(seat_of(0, 1));
  gathering.take(seat_of(0, 2));
  gathering.leave(0, 1);
  EXPECT_EQ(gathering.missing(), std::vector{1});
  gathering.leave(0, 2);
  EXPECT_EQ(gathering.missing(), (std::vector{0, 1}));
}

TEST(Gathering, WhoLeavesACompleteGenerationDoesNotDisturbTheNext) {
  Gathering gathering(2);
  gathering.take(seat_of(0, 1));
  EXPECT_FALSE(gathering.complete());
  gathering.take(seat_of(1, 1));
  const auto first = gathering.complete();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->number, 0U);
  gathering.take(seat_of(0, 2));
  gathering.leave(0, 1);
  EXPECT_EQ(gathering.missing(), std::vector{1});
  gathering.take(seat_of(1, 2));
  const auto second = gathering.complete();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->number, 1U);
  EXPECT_EQ(second->seats[0].ticket, 2U);
}

TEST(Gathering, ALostHostLeavesWithAllItsRanks) {
  Gathering gathering(4);
  for (int rank = 0; rank < 3; ++rank) gathering.take(seat_of(rank, 1));
  gathering.leave_all(1, 2);
  EXPECT_EQ(gathering.missing(), (std::vector{1, 2, 3}));
}

}  // namespace
}  // namespace bluefog::membership
