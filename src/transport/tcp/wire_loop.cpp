#include "transport/tcp/wire_loop.hpp"

#include <algorithm>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include "base/log.hpp"

namespace bluefog::transport::tcp {

namespace {

/// Connections of one peer end at about the same time.
constexpr int ticks_between_ends = 2;

/// Whether the peer has closed its control connection: it leaves, and others may still bring what it wrote.
bool is_closing(const std::vector<std::shared_ptr<Connection>>& connections) {
  return !connections.empty() && connections.back()->has_ended &&
         std::none_of(connections.begin(), connections.end(),
                      [](const auto& connection) { return connection->is_broken_off; });
}

}  // namespace

TcpWire::Impl::Impl(WireOptions options, std::vector<Listener> listeners, base::Executor& executor,
                    std::function<void()> ring)
    : options_(std::move(options)),
      ring_(std::move(ring)),
      links_(options_.addresses.size()),
      doorman_(io_, std::move(listeners), options_.identity, options_.sockets,
               {[this](const Hello& hello) { return judge(hello); },
                [this](const Hello& hello, Opened opened) { admit(hello, std::move(opened)); },
                [this](const Hello& hello) { forgo(hello); }}) {
  for (std::size_t rank = 0; rank < links_.size(); ++rank) {
    if (options_.addresses[rank].empty()) continue;
    links_[rank] = std::make_unique<Link>(PeerFacts{static_cast<int>(rank), options_.identity.size});
    Link& link = *links_[rank];
    link.on_full = [this, &link](std::shared_ptr<Connection> connection) {
      asio::post(io_, [this, &link, full = std::move(connection)]() mutable {
        guard(link, [&] { wait_until_writable(link, std::move(full)); });
      });
    };
  }
  asio::post(io_, [this] {
    doorman_.start();
    asio::co_spawn(io_, tick(), asio::detached);
  });
  thread_ = executor.spawn("bluefog-tcp", [this] { run(); });
}

TcpWire::Impl::~Impl() {
  io_.stop();
  thread_.reset();
}

// --- any thread

void TcpWire::Impl::send(int peer, remote::Message message) {
  Link& to = *link(peer);
  // Notes come from threads that know of no batch.
  const bool may_wait = message.kind != remote::Message::Kind::Note && is_batching_;
  if (may_wait) holds_messages_ = true;
  if (to.send(std::move(message), may_wait)) {
    asio::post(io_, [this, &to] { spawn(to, open(to)); });
  }
}

void TcpWire::Impl::end_batch() {
  is_batching_ = false;
  if (!std::exchange(holds_messages_, false)) return;
  for (const auto& link : links_) {
    if (link != nullptr) link->write_held();
  }
}

void TcpWire::Impl::leave(std::span<const int> peers) {
  is_leaving_ = true;
  for (const int peer : peers) {
    if (Link* const to = link(peer)) to->leave();
  }
}

void TcpWire::Impl::set_note_sink(NoteSink* sink) {
  const std::lock_guard lock(sink_mutex_);
  sink_ = sink;
}

std::vector<TcpWire::News> TcpWire::Impl::take_news() {
  const std::lock_guard lock(news_mutex_);
  has_news_.store(false, std::memory_order_relaxed);
  return std::exchange(news_, {});
}

void TcpWire::Impl::give_up(int peer, const std::string& reason) {
  asio::post(io_, [this, peer, reason] { lose(*link(peer), reason); });
}

void TcpWire::Impl::tell_death(int peer, const std::string& reason) {
  asio::post(io_, [this, peer, reason] {
    Link& dead = *link(peer);
    dead.reason_of_death = reason;
    if (dead.has_left) return;
    if (dead.is_lost) return report_loss(dead, reason);
    // The end of an open connection comes behind all that the peer has sent, and tells the same.
    if (dead.state() != Link::State::Up) lose(dead, reason);
  });
}

void TcpWire::Impl::finish(base::Duration patience) {
  asio::post(io_, [this] {
    is_finishing_ = true;
    look_whether_finished();
  });
  std::unique_lock lock(finish_mutex_);
  finished_.wait_for(lock, patience, [this] { return is_finished_; });
}

// --- the event loop's thread

void TcpWire::Impl::run() {
  while (true) {
    try {
      io_.run();
      return;
    } catch (const std::exception& error) {
      log::error(std::string("the TCP transport gives all its peers up: ") + error.what());
      for (const auto& link : links_) {
        if (link != nullptr) lose(*link, error.what());
      }
    }
  }
}

void TcpWire::Impl::spawn(Link& link, asio::awaitable<void> body) {
  asio::co_spawn(io_, std::move(body), [this, &link](const std::exception_ptr& error) {
    if (error) lose(link, error);
  });
}

void TcpWire::Impl::guard(Link& link, base::FunctionRef<void()> call) {
  try {
    call();
  } catch (const std::exception&) {
    lose(link, std::current_exception());
  }
}

void TcpWire::Impl::lose(Link& link, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    lose(link, std::string("handling its connection failed here: ") + exception.what());
  }
}

void TcpWire::Impl::wait_until_writable(Link& link, std::shared_ptr<Connection> connection) {
  if (!connection->socket->is_open()) return;
  auto& stream = connection->socket->stream();
  stream.async_wait(asio::posix::stream_descriptor::wait_write,
                    [this, &link, connection = std::move(connection)](const asio::error_code& error) {
                      if (error || !connection->socket->is_open()) return;
                      guard(link, [&] {
                        if (link.flush(*connection)) report({});
                        if (is_finishing_) look_whether_finished();
                      });
                    });
}

asio::awaitable<void> TcpWire::Impl::receive(Link& link, std::shared_ptr<Connection> connection) {
  // The end of the TLS handshake may have brought the first messages.
  bool goes_on = connection->tls == nullptr || take_bytes(link, connection, 0);
  asio::error_code error;
  while (goes_on && connection->socket->is_open()) {
    const std::span<std::byte> space = connection->space();
    const std::size_t bytes = co_await connection->socket->stream().async_read_some(
        asio::buffer(space.data(), space.size()), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      // Anybody on the path can end an encrypted connection, but not in the peer's name.
      connection->is_broken_off = error != asio::error::eof || connection->tls != nullptr;
      break;
    }
    link.was_heard = true;
    goes_on = take_bytes(link, connection, bytes);
  }
  const bool is_closed = !error || error == asio::error::eof;
  connection_ended(link, *connection,
                   is_closed ? "it has closed the connection" : "the connection broke: " + error.message());
}

bool TcpWire::Impl::take_bytes(Link& link, const std::shared_ptr<Connection>& connection, std::size_t bytes) {
  constexpr auto nonsense = "it sent what no rank sends";
  if (connection->tls == nullptr) {
    connection->reader.wrote(bytes);
    if (take_messages(link, *connection)) return true;
    lose(link, nonsense);
    return false;
  }
  if (bytes > 0) connection->tls->received(bytes);
  while (true) {
    const TlsSession::Read read = connection->tls->decrypt(connection->reader.space());
    if (read.has_reply && link.flush(*connection)) report({});
    switch (read.status) {
      case TlsSession::Read::Status::Data:
        connection->reader.wrote(read.bytes);
        if (take_messages(link, *connection)) continue;
        lose(link, nonsense);
        return false;
      case TlsSession::Read::Status::NeedsMore:
        return true;
      case TlsSession::Read::Status::Ended:
        return false;
      case TlsSession::Read::Status::Forged:
        lose(link, "what came on its connection was changed on the way, or forged");
        return false;
    }
  }
}

bool TcpWire::Impl::take_messages(Link& link, Connection& connection) {
  std::vector<remote::Message> ready;
  bool is_right = true;
  while (is_right) {
    remote::Message message;
    std::uint64_t sequence = 0;
    const FrameReader::Result result = connection.reader.next(message, sequence);
    if (result == FrameReader::Result::Incomplete) break;
    if (result == FrameReader::Result::Heartbeat) continue;
    is_right = result == FrameReader::Result::Message && link.sort_in(sequence, std::move(message), ready);
  }
  std::vector<News> news;
  for (remote::Message& message : ready) {
    if (message.kind == remote::Message::Kind::Note) {
      is_right = take_note(link, message) && is_right;
      continue;
    }
    if (message.kind == remote::Message::Kind::Left) link.has_left = true;
    news.push_back({link.peer.rank, std::move(message), {}});
  }
  if (!news.empty()) report(std::move(news));
  return is_right;
}

/// Who has not opened a window yet, or has left, knows none of whom others might speak.
bool TcpWire::Impl::take_note(const Link& link, const remote::Message& message) {
  const std::lock_guard lock(sink_mutex_);
  return sink_ == nullptr || sink_->take_note(link.peer.rank, remote::note_of(message));
}

void TcpWire::Impl::report(std::vector<News> news) {
  {
    const std::lock_guard lock(news_mutex_);
    std::move(news.begin(), news.end(), std::back_inserter(news_));
    has_news_.store(true, std::memory_order_release);
  }
  ring_();
}

void TcpWire::Impl::connection_ended(Link& link, Connection& connection, const std::string& why) {
  connection.has_ended = true;
  if (link.state() != Link::State::Up) return;
  const auto all = link.connections();
  if (std::all_of(all.begin(), all.end(), [](const auto& other) { return other->has_ended; })) end(link, why);
}

/// Nothing more comes from the peer.
void TcpWire::Impl::end(Link& link, const std::string& why) {
  if (!link.has_left && !is_finishing_) return lose(link, why);
  static_cast<void>(link.close());
  report({});  // what waits for room needs none any more
  if (is_finishing_) look_whether_finished();
}

void TcpWire::Impl::lose(Link& link, const std::string& why) {
  if (!link.close()) return;
  const std::string& reason = link.reason_of_death.empty() ? why : link.reason_of_death;
  log::info("rank " + std::to_string(link.peer.rank) + " is lost: " + reason);
  link.is_lost = true;
  report_loss(link, reason);
  if (is_finishing_) look_whether_finished();
}

void TcpWire::Impl::report_loss(const Link& link, const std::string& reason) {
  std::vector<News> news(1);
  news.front().peer = link.peer.rank;
  news.front().loss = reason;
  report(std::move(news));
}

asio::awaitable<void> TcpWire::Impl::tick() {
  while (true) {
    co_await sleep(options_.sockets.heartbeat);
    for (const auto& link : links_) {
      if (link != nullptr && link->state() == Link::State::Up) guard(*link, [&] { watch(*link); });
    }
    if (is_finishing_) look_whether_finished();
  }
}

/// Time is counted in this rank's own ticks: while the machine sleeps, or all ranks stand still, nobody ages.
void TcpWire::Impl::watch(Link& link) {
  link.send_heartbeat();
  const bool was_heard = std::exchange(link.was_heard, false);
  link.silent_ticks = was_heard ? 0 : link.silent_ticks + 1;
  if (link.silent_ticks >= beats_until_lost) {
    return end(link, "it gave no sign of life for " +
                         std::to_string(beats_until_lost * options_.sockets.heartbeat.count()) + " ms");
  }
  const auto all = link.connections();
  const bool has_end =
      std::any_of(all.begin(), all.end(), [](const auto& other) { return other->has_ended; });
  if (!has_end) return;
  link.ticks_since_end = was_heard && is_closing(all) ? 0 : link.ticks_since_end + 1;
  if (link.ticks_since_end > ticks_between_ends) end(link, "one of its connections broke");
}

void TcpWire::Impl::look_whether_finished() {
  bool all = true;
  for (const auto& link : links_) {
    if (link == nullptr) continue;
    static_cast<void>(link->finish());
    // A peer that comes in just now has something to say, and to hear the farewell.
    all = link->state() == Link::State::Closed && link->admissions == 0 && all;
  }
  if (!all) return;
  const std::lock_guard lock(finish_mutex_);
  is_finished_ = true;
  finished_.notify_all();
}

// --- TcpWire

TcpWire::TcpWire(WireOptions options, std::vector<Listener> listeners, base::Executor& executor,
                 std::function<void()> ring)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(listeners), executor, std::move(ring))) {}

TcpWire::~TcpWire() {
  // A forked child has no event loop, and its locks may be locked for ever.
  if (!home_.is_surely_here()) static_cast<void>(impl_.release());
}

void TcpWire::send(int peer, remote::Message message) {
  impl_->send(peer, std::move(message));
}
bool TcpWire::has_room(int peer) {
  return impl_->link(peer)->has_room();
}
void TcpWire::begin_batch() {
  impl_->begin_batch();
}
void TcpWire::end_batch() {
  impl_->end_batch();
}
void TcpWire::send_left(std::span<const int> peers) {
  impl_->leave(peers);
}
void TcpWire::set_note_sink(NoteSink* sink) {
  impl_->set_note_sink(sink);
}
bool TcpWire::has_news() const {
  return impl_->has_news();
}
std::vector<TcpWire::News> TcpWire::take_news() {
  return impl_->take_news();
}
void TcpWire::give_up(int peer, const std::string& reason) {
  impl_->give_up(peer, reason);
}
void TcpWire::tell_death(int peer, const std::string& reason) {
  impl_->tell_death(peer, reason);
}
void TcpWire::finish(base::Duration patience) {
  impl_->finish(patience);
}
std::string TcpWire::path_to(int peer) const {
  return impl_->link(peer)->path();
}
std::uint64_t TcpWire::refused_strangers() const {
  return impl_->refused_strangers();
}

}  // namespace bluefog::transport::tcp
