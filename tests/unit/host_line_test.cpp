// The line between the leaders of two hosts: messages of any size, encrypted, and an end.

#include "membership/host_line.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/job_key.hpp"

namespace bluefog::membership {
namespace {

using transport::tcp::Opened;
using transport::tcp::Socket;
using transport::tcp::TlsSession;

constexpr std::size_t longest = 100'000;

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// Both ends of a line in one event loop.
class HostLines : public testing::Test {
 protected:
  struct End {
    Opened opened;
    std::shared_ptr<HostLine> line;
    std::vector<std::vector<std::byte>> heard;
    bool goes_on = true;  ///< after a message
    bool has_ended = false;
  };

  void SetUp() override {
    std::array<int, 2> fds{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    const base::JobKey secret = base::JobKey::random();
    open(here_, fds[0], TlsSession::End::Dialer, secret);
    open(there_, fds[1], TlsSession::End::Listener, secret);
    run();
    for (End* const end : {&here_, &there_}) {
      ASSERT_NE(end->opened.tls, nullptr);
      end->line = std::make_shared<HostLine>(io_, std::move(end->opened), longest);
      asio::co_spawn(io_, listen(*end), asio::detached);
    }
  }

  void open(End& end, int fd, TlsSession::End side, const base::JobKey& secret) {
    end.opened.socket = std::make_shared<Socket>(io_, base::UniqueFd(fd));
    asio::co_spawn(
        io_,
        [](End& end, TlsSession::End side, base::JobKey secret) -> asio::awaitable<void> {
          const std::string problem =
              co_await transport::tcp::open_as(side, end.opened, transport::tcp::Hello{}, secret);
          EXPECT_EQ(problem, "");
        }(end, side, secret),
        asio::detached);
  }

  asio::awaitable<void> listen(End& end) {
    co_await end.line->read_all([&end](std::span<const std::byte> message) {
      end.heard.emplace_back(message.begin(), message.end());
      return end.goes_on;
    });
    end.has_ended = true;
  }

  /// Until nothing happens any more.
  void run() {
    io_.restart();
    while (io_.run_one_for(std::chrono::milliseconds(50)) > 0) {
    }
  }

  asio::io_context io_;
  End here_;
  End there_;
};

TEST_F(HostLines, CarryMessagesOfAnySizeBothWays) {
  std::vector<std::vector<std::byte>> all;
  for (const std::size_t size : {0UL, 1UL, 1000UL, 16'380UL, 16'384UL, 50'000UL, longest}) {
    all.emplace_back(size, static_cast<std::byte>(size % 251));
    here_.line->send(all.back());
    there_.line->send(all.back());
  }
  run();
  EXPECT_EQ(here_.heard, all);
  EXPECT_EQ(there_.heard, all);
  EXPECT_FALSE(here_.has_ended || there_.has_ended);
}

TEST_F(HostLines, WhoFinishesIsHeardToTheEnd) {
  here_.line->send(bytes_of("last words"));
  here_.line->finish();
  here_.line->send(bytes_of("too late"));
  run();
  ASSERT_EQ(there_.heard.size(), 1U);
  EXPECT_EQ(there_.heard.front(), bytes_of("last words"));
  EXPECT_TRUE(there_.has_ended);
}

TEST_F(HostLines, WhoSaysTooMuchIsCutOff) {
  here_.line->send(std::vector<std::byte>(longest + 1));
  run();
  EXPECT_TRUE(there_.heard.empty());
  EXPECT_TRUE(there_.has_ended && here_.has_ended);
}

TEST_F(HostLines, AListenerMayHaveHeardEnough) {
  there_.goes_on = false;
  here_.line->send(bytes_of("nonsense"));
  here_.line->send(bytes_of("more of it"));
  run();
  EXPECT_EQ(there_.heard.size(), 1U);
  EXPECT_TRUE(there_.has_ended && here_.has_ended);
}

TEST(HostLine, IsNotReadByThoseBetween) {
  asio::io_context io;
  std::array<int, 2> fds{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
  const base::UniqueFd between(fds[1]);
  const base::JobKey secret = base::JobKey::random();
  Opened opened{std::make_shared<Socket>(io, base::UniqueFd(fds[0])),
                std::make_unique<TlsSession>(TlsSession::End::Dialer, secret, "line")};
  TlsSession other(TlsSession::End::Listener, secret, "line");
  const auto carry = [](TlsSession& from, TlsSession& to) {
    const base::Bytes bytes = from.to_send();
    std::copy(bytes.begin(), bytes.end(), to.space().begin());
    to.received(bytes.size());
    from.sent(bytes.size());
  };
  bool is_done = false;
  for (int turn = 0; turn < 4 && !is_done; ++turn) {
    is_done = opened.tls->shake_hands() == TlsSession::Handshake::Done;
    carry(*opened.tls, other);
    is_done = other.shake_hands() == TlsSession::Handshake::Done && is_done;
    carry(other, *opened.tls);
  }
  ASSERT_TRUE(is_done);

  auto line = std::make_shared<HostLine>(io, std::move(opened), longest);
  line->send(bytes_of("the address of a rank"));
  while (io.run_one_for(std::chrono::milliseconds(20)) > 0) {
  }
  std::string seen(4096, '\0');
  const ssize_t length = ::recv(between.get(), seen.data(), seen.size(), 0);
  ASSERT_GT(length, 20);
  seen.resize(static_cast<std::size_t>(length));
  EXPECT_EQ(seen.find("address"), std::string::npos);
}

}  // namespace
}  // namespace bluefog::membership
