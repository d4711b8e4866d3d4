// Under which addresses the hosts of a job reach each other.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "addresses.hpp"
#include "agent/environment.hpp"

namespace bfrun {
namespace {

using Addresses = std::vector<std::string>;

Greeting greeting(const std::string& address, const std::string& reached_at = "",
                  const std::string& from = "") {
  Greeting greeting;
  greeting.addresses = {
      {"lo", "127.0.0.1"}, {"docker0", "172.17.0.1"}, {"eth0", address}, {"eth0", "2001:db8::1"}};
  greeting.interfaces = {"docker0", "eth0", "ib0", "lo"};
  greeting.reached_at = reached_at;
  greeting.reached_from = from;
  return greeting;
}

const HostRanks here{"localhost", true, 0, 2};
const HostRanks there{"user@worker", false, 2, 2};

TEST(Addresses, OfThisMachineAlone) {
  EXPECT_EQ(choose_addresses({here}, {greeting("10.0.0.1", "10.0.0.1", "203.0.113.5")}, ""),
            Addresses{"127.0.0.1"});
}

TEST(Addresses, ThoseThatSshHasUsed) {
  const std::vector<Greeting> greetings{greeting("10.0.0.1"), greeting("10.0.0.2", "10.0.0.2", "10.0.0.1")};
  EXPECT_EQ(choose_addresses({here, there}, greetings, ""), (Addresses{"10.0.0.1", "10.0.0.2"}));
}

TEST(Addresses, WhereTheUserCameFromIsNone) {
  // bfrun itself runs under an ssh from elsewhere.
  const std::vector<Greeting> greetings{greeting("10.0.0.1", "10.0.0.1", "203.0.113.5"),
                                        greeting("10.0.0.2", "10.0.0.2", "10.0.0.1")};
  EXPECT_EQ(choose_addresses({here, there}, greetings, ""), (Addresses{"10.0.0.1", "10.0.0.2"}));
}

TEST(Addresses, ATranslatedOneIsNone) {
  const std::vector<Greeting> greetings{greeting("10.0.0.1"),
                                        greeting("10.9.0.2", "10.9.0.2", "198.51.100.1")};
  EXPECT_EQ(choose_addresses({here, there}, greetings, ""), (Addresses{"172.17.0.1", "10.9.0.2"}));
}

TEST(Addresses, ANameThatIsOne) {
  const HostRanks numeric{"user@10.0.0.9", false, 2, 1};
  const HostRanks six{"2001:db8::9", false, 3, 1};
  EXPECT_EQ(choose_addresses({numeric, six}, {greeting("10.1.0.9", "10.1.0.9"), greeting("10.1.0.8")}, ""),
            (Addresses{"10.0.0.9", "2001:db8::9"}));
}

TEST(Addresses, AnInterfaceGoesBeforeAll) {
  const std::vector<Greeting> greetings{greeting("10.0.0.1"), greeting("10.0.0.2", "192.0.2.2", "10.0.0.1")};
  EXPECT_EQ(choose_addresses({here, there}, greetings, "eth0"), (Addresses{"10.0.0.1", "10.0.0.2"}));
  EXPECT_EQ(choose_addresses({here}, {greetings[0]}, "lo"), Addresses{"127.0.0.1"});
  for (const auto& [interface, words] :
       {std::pair{"eth7",
                  "localhost has no network interface eth7; --network-interface may name one of these: "
                  "docker0, eth0, ib0, lo"},
        std::pair{"ib0", "localhost's network interface ib0 is down or has no address"}}) {
    try {
      (void)choose_addresses({here, there}, greetings, interface);
      FAIL() << interface;
    } catch (const bluefog::InvalidArgument& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, std::string(words).size()), words);
    }
  }
}

TEST(Addresses, ThisHostHasSomething) {
  const Greeting greeting = greeting_of_this_host();
  EXPECT_GT(greeting.free_port, 0);
  EXPECT_FALSE(greeting.interfaces.empty());
}

TEST(Forwarding, WhatIsAskedForAndWhatIsNot) {
  const Environment user{{"PATH", "/bin"},       {"HOME", "/home/me"},     {"OMP_PLACES", "cores"},
                         {"BLUEFOG_RANK", "3"},  {"PYTHONPATH", "/p"},     {"SSH_AUTH_SOCK", "/tmp/agent"},
                         {"WANDB_API_KEY", "x"}, {"LC_ALL", "C.UTF-8"},    {"CUDA_VISIBLE_DEVICES", "1"},
                         {"PATHOLOGY", "no"},    {"BLUEFOG_STORE", "auto"}};
  const Environment expected{
      {"PATH", "/bin"},          {"OMP_PLACES", "cores"},       {"PYTHONPATH", "/p"}, {"LC_ALL", "C.UTF-8"},
      {"BLUEFOG_STORE", "auto"}, {"CUDA_VISIBLE_DEVICES", "1"}, {"EMPTY", ""},        {"PAIR", "a=b"}};
  EXPECT_EQ(forwarded(user, {"CUDA_VISIBLE_DEVICES", "EMPTY=", "PAIR=a=b"}), expected);
  EXPECT_EQ(forwarded(user, {"PATH=/mine"}).at("PATH"), "/mine");
  EXPECT_EQ(explicit_variables(user, {"PAIR=a"}), (Environment{{"PAIR", "a"}}));
  for (const char* wrong : {"NOT_SET", "=x", "", "RANK", "MASTER_ADDR=x", "BLUEFOG_RENDEZVOUS=x"}) {
    EXPECT_THROW((void)forwarded(user, {wrong}), bluefog::InvalidArgument) << wrong;
  }
}

}  // namespace
}  // namespace bfrun
