// Ranks that find out by themselves who shares a host with them. Each has leaders of its own, as if it were a
// process; hosts are pretended.

#include "membership/muster.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "membership/fd_message.hpp"
#include "membership/muster_protocol.hpp"
#include "membership/muster_secrets.hpp"
#include "membership/rendezvous.hpp"
#include "membership/rendezvous_address.hpp"
#include "transport/tcp/dialer.hpp"

namespace bluefog::membership {
namespace {

using namespace std::chrono_literals;

/// One that was free just now, with some room behind it.
std::uint16_t free_port() {
  while (true) {
    const auto listeners = transport::tcp::listen_on({}, {});
    if (listeners.front().endpoint.port < 65000) return listeners.front().endpoint.port;
  }
}

MusterCall call_of(int rank, int size, const std::string& host = "a") {
  MusterCall call;
  call.rank = rank;
  call.size = size;
  call.host = host;
  call.job_id = "test " + std::to_string(::getpid());
  call.timeout = 20s;
  return call;
}

struct Rank {
  std::unique_ptr<HostLeaders> leaders = std::make_unique<HostLeaders>();
  std::future<Placement> placement;
};

Rank start(const MusterCall& call) {
  Rank rank;
  rank.placement =
      std::async(std::launch::async, [call, leaders = rank.leaders.get()] { return muster(call, *leaders); });
  return rank;
}

/// A job of several hosts that meets on this machine.
struct Hosts {
  explicit Hosts(std::vector<std::string> hosts_of_ranks, std::uint16_t ports = 8)
      : hosts(std::move(hosts_of_ranks)) {
    point.host = "localhost";
    point.ports.first = free_port();
    point.ports.last = static_cast<std::uint16_t>(point.ports.first + ports - 1);
  }
  [[nodiscard]] MusterCall call(int rank) const {
    MusterCall call = call_of(rank, static_cast<int>(hosts.size()), hosts[static_cast<std::size_t>(rank)]);
    call.point = point;
    call.key = key;
    return call;
  }
  [[nodiscard]] std::vector<Rank> start_all() const {
    std::vector<Rank> ranks;
    for (int rank = static_cast<int>(hosts.size()) - 1; rank >= 0; --rank)
      ranks.insert(ranks.begin(), start(call(rank)));
    return ranks;
  }

  std::vector<std::string> hosts;
  MeetingPoint point;
  base::JobKey key = base::JobKey::random();
};

template <typename Problem>
std::string problem_of(std::future<Placement>& placement) {
  try {
    (void)placement.get();
  } catch (const Problem& problem) {
    return problem.what();
  }
  ADD_FAILURE() << "no such error";
  return {};
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

Roster meet(const Placement& placement, int rank, int size, std::unique_ptr<RendezvousClient>& client) {
  Card card;
  card.rank = rank;
  card.pid = ::getpid();
  card.arena.reset(::memfd_create("test", MFD_CLOEXEC));
  card.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  Roster roster;
  client = RendezvousClient::join(placement.rendezvous, size, std::move(card), 20s, roster);
  return roster;
}

/// All meet at once. @returns what each has heard
std::vector<Roster> meet_all(const std::vector<Placement>& placements) {
  const int size = static_cast<int>(placements.size());
  std::vector<std::future<Roster>> meetings;
  std::vector<std::unique_ptr<RendezvousClient>> clients(placements.size());
  for (int rank = 0; rank < size; ++rank) {
    const auto index = static_cast<std::size_t>(rank);
    meetings.push_back(std::async(std::launch::async, [&, rank, index] {
      return meet(placements[index], rank, size, clients[index]);
    }));
  }
  std::vector<Roster> rosters;
  for (auto& meeting : meetings) rosters.push_back(meeting.get());
  return rosters;
}

TEST(MeetingPoint, IsAHostWithPorts) {
  EXPECT_EQ(parse_meeting_point("a.b:5000").host, "a.b");
  EXPECT_EQ(parse_meeting_point("a.b:5000").ports.last, 5000);
  EXPECT_EQ(parse_meeting_point("[fd00::1]:5000-5007").host, "fd00::1");
  EXPECT_EQ(parse_meeting_point("[fd00::1]:5000-5007").ports.last, 5007);
  for (const char* text : {"", "a", ":5000", "a:", "a:0", "a:70000", "a:5-4", "fd00::1", "a:5000x"}) {
    EXPECT_THROW((void)parse_meeting_point(text), InvalidArgument) << text;
  }
}

TEST(Muster, RanksOfOneHostNeedNoKey) {
  std::vector<Rank> ranks;
  for (const int rank : {2, 0, 1}) ranks.push_back(start(call_of(rank, 3)));
  std::vector<Placement> placements(3);
  placements[2] = ranks[0].placement.get();
  placements[0] = ranks[1].placement.get();
  placements[1] = ranks[2].placement.get();
  for (const Placement& placement : placements) {
    EXPECT_EQ(placement.rendezvous, placements[0].rendezvous);
    EXPECT_EQ(placement.ranks_of_hosts, std::vector{3});
    EXPECT_TRUE(placement.listen.empty());
  }
  for (std::uint64_t generation = 0; generation < 3; ++generation) {
    for (const Roster& roster : meet_all(placements)) {
      EXPECT_EQ(roster.generation, generation);
      EXPECT_TRUE(roster.key.is_set());
    }
  }
  // Who asks again gets the same answer at once.
  EXPECT_EQ(muster(call_of(1, 3), *ranks[2].leaders).rendezvous, placements[0].rendezvous);
}

TEST(Muster, RanksOfSeveralHostsMeet) {
  const Hosts hosts({"a", "a", "b", "c", "c"});
  std::vector<Rank> ranks = hosts.start_all();
  std::vector<Placement> placements;
  for (Rank& rank : ranks) placements.push_back(rank.placement.get());
  EXPECT_EQ(placements[0].rendezvous, placements[1].rendezvous);
  EXPECT_NE(placements[0].rendezvous, placements[2].rendezvous);
  for (const Placement& placement : placements) {
    EXPECT_EQ(placement.ranks_of_hosts, (std::vector{2, 1, 2}));
    EXPECT_FALSE(placement.listen.empty());
  }
  for (std::uint64_t generation = 0; generation < 3; ++generation) {
    const std::vector<Roster> rosters = meet_all(placements);
    for (const Roster& roster : rosters) {
      EXPECT_EQ(roster.generation, generation);
      EXPECT_EQ(roster.job, rosters[0].job);
      EXPECT_TRUE(std::ranges::equal(roster.key.reveal(), rosters[0].key.reveal()));
      EXPECT_FALSE(std::ranges::equal(roster.key.reveal(), hosts.key.reveal()));
    }
    EXPECT_TRUE(rosters[0].members[1].arena.valid());
    EXPECT_FALSE(rosters[0].members[2].arena.valid());
  }
}

TEST(Muster, TwoJobsAtOnePlaceDoNotMeet) {
  const Hosts one({"a", "b"});
  Hosts other({"a", "b"});
  other.point = one.point;
  std::vector<Rank> ranks = one.start_all();
  std::vector<Rank> others = other.start_all();
  const std::string here = ranks[0].placement.get().rendezvous;
  EXPECT_NE(others[0].placement.get().rendezvous, here);
  EXPECT_EQ(ranks[1].placement.get().ranks_of_hosts, (std::vector{1, 1}));
  EXPECT_EQ(others[1].placement.get().ranks_of_hosts, (std::vector{1, 1}));
}

TEST(Muster, AnotherKeyOpensNothing) {
  const Hosts hosts({"a", "b"});
  MusterCall first = hosts.call(0);
  MusterCall second = hosts.call(1);
  first.timeout = second.timeout = 1s;
  second.key = base::JobKey::random();
  Rank one = start(first);
  Rank other = start(second);
  const std::string here = problem_of<Timeout>(one.placement);
  expect_contains(here, "still missing: rank 1.");
  expect_contains(here,
                  "connections from elsewhere were refused: of another job, of another number of ranks, ");
  const std::string there = problem_of<Timeout>(other.placement);
  expect_contains(there, "still missing: rank 0.");
  expect_contains(there, "Rank 0's host has not been reached (");
  expect_contains(there, "ends the connection before it has proved to be a rank of this job");
}

TEST(Muster, WhoKnowsTheKeyButDoesNotEncryptIsRefused) {
  const Hosts hosts({"a", "b"});
  Rank first = start(hosts.call(0));
  const MusterCall call = hosts.call(1);
  const base::JobKey key = handshake_key(call);
  transport::tcp::Hello hello;
  hello.role = transport::tcp::Role::Data;
  hello.data_connections = 1;
  hello.from = 1;
  hello.to = 0;
  hello.size = call.size;
  hello.job = job_number(call);
  const transport::tcp::Endpoint place{{127, 0, 0, 1}, hosts.point.ports.first, 0, 1};
  transport::tcp::Dialled dialled;
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (dialled.outcome != transport::tcp::Dialled::Outcome::Refused) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << dialled.problem;
    asio::io_context io;
    std::weak_ptr<transport::tcp::Socket> attempt;
    asio::co_spawn(io, transport::tcp::dial(io, place, hello, key, call.sockets, 1s, attempt),
                   [&](const std::exception_ptr& error, transport::tcp::Dialled result) {
                     if (!error) dialled = std::move(result);
                   });
    io.run();
  }
  Rank second = start(call);
  EXPECT_EQ(first.placement.get().ranks_of_hosts, (std::vector{1, 1}));
  EXPECT_EQ(second.placement.get().ranks_of_hosts, (std::vector{1, 1}));
}

TEST(Muster, APortThatAnotherHoldsIsNamedInTime) {
  const Hosts hosts({"a", "b"}, 1);
  std::vector<transport::tcp::Endpoint> any(1);
  const auto holder = transport::tcp::listen_on(any, hosts.point.ports);
  MusterCall first = hosts.call(0);
  first.timeout = 4s;
  Rank one = start(first);
  const auto begin = std::chrono::steady_clock::now();
  const std::string problem = problem_of<InvalidArgument>(one.placement);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  expect_contains(problem, "can listen at none of the ports " + std::to_string(hosts.point.ports.first));
  expect_contains(problem, "Address already in use");
}

TEST(Muster, WhoIsMissingIsNamedEverywhere) {
  const Hosts hosts({"a", "a", "b", "b"});
  MusterCall first = hosts.call(0);
  MusterCall third = hosts.call(2);
  first.timeout = third.timeout = 1500ms;
  Rank one = start(first);
  third.timeout = 1s;
  Rank other = start(third);
  expect_contains(problem_of<Timeout>(other.placement), "still missing: ranks 1, 3.");
  expect_contains(problem_of<Timeout>(one.placement), "still missing: ranks 1, 2, 3.");
}

TEST(Muster, RanksDealtRoundTheHostsAreRefusedEverywhere) {
  std::vector<Rank> ranks = Hosts({"a", "b", "a", "b"}).start_all();
  for (Rank& rank : ranks)
    expect_contains(problem_of<InvalidArgument>(rank.placement), "mpirun --map-by slot");
}

TEST(Muster, WithoutAKeyRank0MustBeHere) {
  MusterCall call = call_of(1, 2);
  call.point = MeetingPoint{"192.0.2.1", {5000, 5000}};  // an address of nobody, RFC 5737
  Rank rank = start(call);
  expect_contains(problem_of<InvalidArgument>(rank.placement),
                  "rank 0 is on another host, 192.0.2.1, and ranks of several hosts meet only with a key");
}

TEST(Muster, AnAddressThatLeadsNowhereIsNamed) {
  Hosts hosts({"a", "b"});
  hosts.point.host = "no.such.host.invalid";
  MusterCall call = hosts.call(1);
  call.timeout = 1s;
  Rank rank = start(call);
  expect_contains(problem_of<Timeout>(rank.placement),
                  "the name no.such.host.invalid means no address on this host");
}

TEST(Muster, ALivingRankIsNotReplaced) {
  Rank first = start(call_of(1, 2));
  MusterCall late = call_of(0, 2);
  HostLeaders leaders;
  std::string problem;
  // Whichever of the two comes later is refused.
  Rank twin = start(call_of(1, 2));
  while (first.placement.wait_for(1ms) != std::future_status::ready &&
         twin.placement.wait_for(1ms) != std::future_status::ready) {
  }
  const bool is_twin = twin.placement.wait_for(0s) == std::future_status::ready;
  expect_contains(problem_of<InvalidArgument>(is_twin ? twin.placement : first.placement),
                  "a process of that rank is in the job and alive (pid " + std::to_string(::getpid()) + ")");
  EXPECT_EQ(muster(late, leaders).ranks_of_hosts, std::vector{2});
  EXPECT_EQ((is_twin ? first : twin).placement.get().ranks_of_hosts, std::vector{2});
}

TEST(Muster, AnotherNumberOfRanksOrAnotherRestartIsAnotherJob) {
  MusterCall alone = call_of(0, 2);
  alone.timeout = 300ms;
  MusterCall restarted = call_of(1, 2);
  restarted.restart_count = 1;
  restarted.timeout = 300ms;
  Rank one = start(alone);
  Rank other = start(restarted);
  expect_contains(problem_of<Timeout>(one.placement), "still missing: rank 1");
  expect_contains(problem_of<Timeout>(other.placement), "still missing: rank 0");
  Rank three = start(call_of(2, 3));
  expect_contains(problem_of<InvalidArgument>(three.placement),
                  "it expects 3 ranks, but the job that meets here has 2");
}

TEST(Muster, WhenTheLeaderEndsBeforeAllHaveComeAnotherLeads) {
  MusterCall hasty = call_of(0, 2);
  hasty.timeout = 50ms;
  Rank first = start(hasty);
  (void)problem_of<Timeout>(first.placement);
  Rank second = start(call_of(1, 2));
  first.leaders.reset();
  Rank again = start(call_of(0, 2));
  EXPECT_EQ(again.placement.get().rendezvous, second.placement.get().rendezvous);
}

TEST(Muster, WhatRanksWereToldArrivesAfterTheEndOfTheLeader) {
  const Hosts hosts({"a", "b", "b"});
  std::vector<Rank> ranks = hosts.start_all();
  std::vector<Placement> placements;
  for (Rank& rank : ranks) placements.push_back(rank.placement.get());
  std::vector<std::unique_ptr<RendezvousClient>> clients(3);
  auto second = std::async(std::launch::async, [&] { return meet(placements[1], 1, 3, clients[1]); });
  auto third = std::async(std::launch::async, [&] { return meet(placements[2], 2, 3, clients[2]); });
  (void)meet(placements[0], 0, 3, clients[0]);
  ranks[0].leaders.reset();  // it has met all, and its process ends
  EXPECT_EQ(second.get().members.size(), 3U);
  EXPECT_EQ(third.get().members.size(), 3U);
  // But nobody meets again.
  std::string problem;
  while (problem.empty()) {
    try {
      (void)muster(hosts.call(1), *ranks[1].leaders);
    } catch (const InvalidArgument& error) {
      problem = error.what();
    }
  }
  expect_contains(problem, "the rank that led rank 0's host has ended, and so nobody can join again");
}

TEST(Muster, AnotherVersionIsRefusedByName) {
  const MusterCall call = call_of(0, 2);
  Rank rank = start(call);
  const SocketAddress name = parse_rendezvous_address(leader_address(call));
  const base::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  while (::connect(socket.get(), name.get(), name.length) != 0) ASSERT_EQ(errno, ECONNREFUSED);
  protocol::Arrival arrival;
  protocol::write_text(arrival.version, "9.9.9");
  ASSERT_EQ(send_message(socket.get(), protocol::bytes_of(arrival), {}), Transfer::done);
  pollfd entry{socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&entry, 1, 20'000), 1);
  protocol::MusterBuffer buffer;
  const Received received = receive_message(socket.get(), buffer);
  const auto refusal = protocol::read_as<protocol::NoPlace>(std::span(buffer).first(received.bytes));
  ASSERT_TRUE(refusal);
  expect_contains(std::string(protocol::read_text(refusal->why)),
                  "its version is 9.9.9, but the rendezvous is of ");
  HostLeaders leaders;
  (void)muster(call_of(1, 2), leaders);
  (void)rank.placement.get();
}

}  // namespace
}  // namespace bluefog::membership
