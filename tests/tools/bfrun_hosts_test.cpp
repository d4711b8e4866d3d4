// Which hosts a job has, and which of them gets which ranks.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "hosts.hpp"
#include "remote_command.hpp"

namespace bfrun {
namespace {

std::string text_of(const std::vector<HostSlots>& hosts) {
  std::string text;
  for (const HostSlots& host : hosts) {
    text += host.name + "=" + std::to_string(host.slots);
    if (host.max_slots) text.append("/").append(std::to_string(*host.max_slots));
    text += " ";
  }
  return text;
}

std::string text_of(const std::vector<HostRanks>& hosts) {
  std::string text;
  for (const HostRanks& host : hosts) text += host.name + ": " + describe_ranks(host) + "; ";
  return text;
}

template <typename Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const bluefog::InvalidArgument& error) {
    return error.what();
  }
  return "no complaint";
}

TEST(HostList, NamesAndSlots) {
  EXPECT_EQ(text_of(parse_host_list("host1:4,host2:16")), "host1=4 host2=16 ");
  EXPECT_EQ(text_of(parse_host_list("host1, user@host-2.example.com:3 ")),
            "host1=1 user@host-2.example.com=3 ");
  EXPECT_EQ(text_of(parse_host_list("10.0.0.1:2,fe80::1:4,[fe80::2]:3,me@[::1]")),
            "10.0.0.1=2 fe80::1:4=1 fe80::2=3 me@::1=1 ");
}

TEST(HostList, MistakesNameThePart) {
  for (const char* slots : {"0", "-1", "", "4x", "99999999999", "65537", " 4"}) {
    const std::string text = "a:2,b:" + std::string(slots);
    EXPECT_NE(complaint([&] { (void)parse_host_list(text); }).find("is no number of slots"),
              std::string::npos)
        << text;
  }
  EXPECT_NE(complaint([] { (void)parse_host_list("a,,b"); }).find("a host's name is missing"),
            std::string::npos);
  EXPECT_NE(complaint([] { (void)parse_host_list(""); }).find("a host's name is missing"), std::string::npos);
  for (const char* name :
       {"-oProxyCommand=x", "a b", "a;b", "@a", "a@", "$(x)", "[::1", "[::1]4", ":4", "h\xc3\xb6st"}) {
    EXPECT_NE(complaint([&] { (void)parse_host_list(name); }), "no complaint") << name;
  }
}

TEST(HostFile, AllSpellings) {
  const char* text =
      "# the cluster\n"
      "\n"
      "  \t \n"
      "host1 slots=4\n"
      "host2:4   # half of it\n"
      "\thost3\tslots=2\tmax_slots=8\r\n"
      "host4 slots=2 max-slots=2#close\n"
      "host5";
  EXPECT_EQ(text_of(parse_hostfile(text, "hosts")), "host1=4 host2=4 host3=2/8 host4=2/2 host5=1 ");
}

TEST(HostFile, MistakesNameFileAndLine) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a\nb slots=x\n", "dir/hosts:2: \"x\" in \"slots=x\" is no number of slots"},
      {"\n\na slots\n", "dir/hosts:3: \"slots\" is unknown; expected slots=N or max_slots=N"},
      {"a cpus=4", "dir/hosts:1: \"cpus=4\" is unknown"},
      {"a b c", "dir/hosts:1: \"b\" is unknown"},
      {"a slots=4 max_slots=2", "dir/hosts:1: max_slots=2 is less than slots=4"},
      {"a:two", "dir/hosts:1: \"two\" in \"a:two\" is no number of slots"},
      {"slots=4", "dir/hosts:1: \"slots=4\" is no host name"},
      {"# nothing\n", "dir/hosts names no host"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(
        complaint([&text = text] { (void)parse_hostfile(text, "dir/hosts"); }).substr(0, expected.size()),
        expected);
  }
  EXPECT_NE(complaint([] { (void)read_hostfile("/no/such/file"); }).find("/no/such/file cannot be read"),
            std::string::npos);
}

TEST(PlaceRanks, FillsHostsInOrder) {
  const auto hosts = parse_host_list("a:4,b:2,c:4");
  EXPECT_EQ(text_of(place_ranks(hosts, 10, false)), "a: ranks 0-3; b: ranks 4-5; c: ranks 6-9; ");
  EXPECT_EQ(text_of(place_ranks(hosts, 5, false)), "a: ranks 0-3; b: rank 4; ");
  EXPECT_EQ(text_of(place_ranks(hosts, 4, true)), "a: ranks 0-3; ");
}

TEST(PlaceRanks, AHostListedTwiceIsOne) {
  EXPECT_EQ(text_of(place_ranks(parse_host_list("a:1,b:2,a:2"), 5, false)), "a: ranks 0-2; b: ranks 3-4; ");
  EXPECT_EQ(text_of(place_ranks(parse_host_list("localhost:1,b,127.0.0.1,::1"), 4, false)),
            "localhost: ranks 0-2; b: rank 3; ");
}

TEST(PlaceRanks, MoreRanksThanSlots) {
  const auto hosts = parse_hostfile("a slots=2 max_slots=3\nb slots=1\n", "hosts");
  EXPECT_EQ(complaint([&] { (void)place_ranks(hosts, 4, false); }),
            "-np is 4, but the hosts have 3 slots; name more hosts or slots, or say --oversubscribe");
  EXPECT_EQ(text_of(place_ranks(hosts, 6, true)), "a: ranks 0-2; b: ranks 3-5; ");
  const auto limited = parse_hostfile("a slots=2 max_slots=3\n", "hosts");
  EXPECT_EQ(complaint([&] { (void)place_ranks(limited, 4, true); }),
            "-np is 4, but the hosts have 3 slots at most (max_slots)");
}

TEST(PlaceRanks, KnowsThisMachine) {
  for (const char* name : {"localhost", "127.0.0.1", "::1"}) EXPECT_TRUE(is_this_machine(name)) << name;
  for (const char* name : {"", "localhost2", "user@localhost", "no-such-host.invalid"}) {
    EXPECT_FALSE(is_this_machine(name)) << name;
  }
}

TEST(RemoteCommand, WordsAreSplitAsAShellDoes) {
  const std::vector<std::string> expected{"a", "b c", "d\"e", "f g", "", "h"};
  EXPECT_EQ(split_words(" a 'b c'  d\\\"e \"f g\"\t'' h\n"), expected);
  EXPECT_NE(complaint([] { (void)split_words("a 'b"); }).find("a quote is not closed"), std::string::npos);
}

TEST(RemoteCommand, HostAndCommandAreAppendedOrReplaced) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(remote_command({"my ssh", 0, "bfrun"}, "h"), (Words{"my", "ssh", "h", "exec bfrun --agent"}));
  EXPECT_EQ(remote_command({"ip netns exec {host} sh -c {command}", 0, "bfrun"}, "h"),
            (Words{"ip", "netns", "exec", "h", "sh", "-c", "exec bfrun --agent"}));
  EXPECT_EQ(remote_command({"s --to={host}:{port}", 2222, "bfrun"}, "h"),
            (Words{"s", "--to=h:2222", "exec bfrun --agent"}));
  EXPECT_EQ(remote_command({"s", 0, "/o'brien/my bfrun"}, "h").back(),
            "exec '/o'\\''brien/my bfrun' --agent");
  EXPECT_NE(complaint([] {
              (void)remote_command({"s", 2222, ""}, "h");
            }).find("has no {port}"),
            std::string::npos);
  EXPECT_NE(complaint([] { (void)remote_command({" ", 0, ""}, "h"); }).find("is empty"), std::string::npos);
}

TEST(RemoteCommand, SshAsksNothing) {
  const std::vector<std::string> words = remote_command({"", 2222, ""}, "h");
  const std::string all = testing::PrintToString(words);
  EXPECT_EQ(words.front(), "ssh");
  for (const char* part :
       {"BatchMode=yes", "ConnectTimeout=", "ServerAliveInterval=", "\"-p\", \"2222\", \"h\""}) {
    EXPECT_NE(all.find(part), std::string::npos) << part << " in " << all;
  }
}

}  // namespace
}  // namespace bfrun
