// Exceptions on the thread of the wire: who pays for them.

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <asio/io_context.hpp>
#include <gtest/gtest.h>

#include "transport/tcp/doorman.hpp"
#include "unit/wires.hpp"

namespace bluefog::transport::tcp {
namespace {

using test::RawSocket;
using test::Stations;

remote::Message message() {
  remote::Message message;
  message.kind = remote::Message::Kind::Passed;
  message.key = {1, 1};
  return message;
}

TEST(Failures, OverDataOfOnePeerLoseThatPeerOnly) {
  Stations stations(3);
  for (int rank = 1; rank < 3; ++rank) {
    stations[rank].wire->send(0, message());
    ASSERT_TRUE(stations[0].wait_for(1).front().message);
  }
  stations[0].fail("no memory is left");
  stations[1].wire->send(0, message());
  auto news = stations[0].wait_for(2);  // what came, and the loss
  EXPECT_EQ(news.back().peer, 1);
  EXPECT_NE(news.back().loss.find("no memory is left"), std::string::npos) << news.back().loss;
  stations[2].wire->send(0, message());
  news = stations[0].wait_for(1);
  EXPECT_EQ(news.front().peer, 2);
  EXPECT_TRUE(news.front().message) << news.front().loss;
}

TEST(Failures, OverOneStrangerKeepNobodyOut) {
  asio::io_context io;
  auto listeners = listen_on({}, {});
  const Endpoint endpoint = listeners.front().endpoint;
  const base::JobKey key = base::JobKey::random();
  const Identity listener{0, 2, 1, 1, key};
  const Identity dialer{1, 2, 1, 1, key};
  int judged = 0;
  Doorman doorman(io, std::move(listeners), listener, {},
                  {[&](const Hello&) -> Verdict {
                     if (++judged == 1) throw std::runtime_error("no memory is left");
                     return Verdict::Refused;
                   },
                   [](const Hello&, const Opened&) {}, [](const Hello&) {}});
  doorman.start();
  std::thread loop([&] { io.run(); });
  for (const std::optional<Verdict> expected : {std::optional<Verdict>(), std::optional(Verdict::Refused)}) {
    const RawSocket socket(endpoint);
    EXPECT_EQ(test::ask(socket, test::hello_of(dialer, 0), key), expected);
    EXPECT_TRUE(socket.is_closed_by_peer());
  }
  io.stop();
  loop.join();
}

}  // namespace
}  // namespace bluefog::transport::tcp
