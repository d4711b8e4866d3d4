#include "agent_link.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/write.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "agent/agent_process.hpp"
#include "agent/environment.hpp"
#include "agent/rank_process.hpp"
#include "times.hpp"

namespace bfrun {
namespace {

using bluefog::base::UniqueFd;

constexpr std::size_t most_error_text = 4096;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

AgentProcess start_local_agent() {
  Pipe orders = make_pipe();
  Pipe upstream = make_pipe();
  const pid_t agent = ::fork();
  if (agent < 0) throw std::system_error(errno, std::generic_category(), "cannot start the agent");
  if (agent == 0) {
    orders.write_end.reset();
    upstream.read_end.reset();
    run_agent(std::move(orders.read_end), std::move(upstream.write_end));
    ::_exit(0);
  }
  return {agent, std::move(orders.write_end), std::move(upstream.read_end), UniqueFd()};
}

AgentProcess start_remote_agent(const RemoteStart& start, const std::string& host) {
  const std::vector<std::string> command = remote_command(start, host);
  Environment environment = bluefog::base::current_environment();
  environment.erase("SSH_CONNECTION");  // how the user came here; the agent takes it for how we came there
  rlimit open_files{};
  ::getrlimit(RLIMIT_NOFILE, &open_files);
  Pipe orders = make_pipe();
  Pipe upstream = make_pipe();
  Pipe errors = make_pipe();
  try {
    // As a rank: in a session of its own, for Ctrl-C at the terminal is not meant for ssh; and not outliving
    // us.
    const pid_t pid = start_rank({command,
                                  environment,
                                  {},
                                  open_files,
                                  orders.read_end.get(),
                                  upstream.write_end.get(),
                                  errors.write_end.get()});
    return {pid, std::move(orders.write_end), std::move(upstream.read_end), std::move(errors.read_end)};
  } catch (const ExecError& error) {
    throw std::system_error(error.code(), "cannot run " + command.front() + " for " + host);
  }
}

AgentLink::AgentLink(asio::io_context& io, HostRanks host, AgentProcess process, Listener& listener)
    : host_(std::move(host)),
      pid_(process.pid),
      listener_(listener),
      orders_(io, process.orders.release()),
      upstream_(io, process.upstream.release()),
      errors_(io),
      timer_(io) {
  if (!process.errors.valid()) return;
  errors_.assign(process.errors.release());
  errors_.native_non_blocking(true);
}

void AgentLink::start() {
  read_upstream();
  if (errors_.is_open()) wait_for_errors();
}

void AgentLink::send(std::string bytes) {
  if (!orders_.is_open()) return;
  waiting_ += bytes;
  if (std::exchange(sending_, true)) return;
  under_way_ = std::exchange(waiting_, {});
  asio::async_write(orders_, asio::buffer(under_way_), [this](const asio::error_code& error, std::size_t) {
    sending_ = false;
    if (!error && !waiting_.empty())
      send({});  // a broken pipe: its process has ended, which is told otherwise
  });
}

void AgentLink::grant(std::size_t bytes) {
  not_granted_ += bytes;
  const std::size_t orders = not_granted_ / bytes_per_order_of_output;
  not_granted_ %= bytes_per_order_of_output;
  if (orders > 0) send(std::string(orders, static_cast<char>(order_more_output)));
}

void AgentLink::close_orders() {
  asio::error_code ignored;
  orders_.close(ignored);
}

void AgentLink::kill() const {
  if (!reaped_) ::kill(pid_, SIGKILL);
}

void AgentLink::look_for_end() {
  if (reaped_ || ::waitpid(pid_, &wait_status_, WNOHANG) != pid_) return;
  reaped_ = true;
  close_orders();  // a process of ssh may have left them to others, which end by this
  timer_.expires_after(patience_with_open_stream);
  timer_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    stream_ended_ = true;
    tell_end_if_complete();
  });
  tell_end_if_complete();
}

void AgentLink::read_upstream() {
  upstream_.async_read_some(asio::buffer(upstream_buffer_),
                            [this](const asio::error_code& error, std::size_t length) {
                              if (error == asio::error::operation_aborted) return;
                              if (error) {
                                stream_ended_ = true;
                                return tell_end_if_complete();
                              }
                              heard_of_ = true;
                              take({upstream_buffer_.data(), length});
                              read_upstream();
                            });
}

void AgentLink::take(std::string_view bytes) {
  if (!stream_problem_.empty()) return;
  try {
    frames_.take(bytes);
    while (std::optional<Frame> frame = frames_.next()) {
      switch (frame->kind) {
        case FrameKind::output:
        case FrameKind::error:
          listener_.on_output(*this, frame->kind == FrameKind::output ? STDOUT_FILENO : STDERR_FILENO,
                              std::move(frame->payload));
          break;
        case FrameKind::event:
          listener_.on_event(*this, parse_event(frame->payload));
          break;
        case FrameKind::alive:
          break;
      }
    }
  } catch (const bluefog::InvalidArgument& error) {
    stream_problem_ = error.what();
    kill();
  }
}

// Waits and reads, for a read of asio's could have taken what last_words() looks for, and not yet told it.
void AgentLink::wait_for_errors() {
  errors_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
    if (!error && read_errors()) wait_for_errors();
  });
}

bool AgentLink::read_errors() {
  while (true) {
    const ssize_t length = ::read(errors_.native_handle(), errors_buffer_.data(), errors_buffer_.size());
    if (length <= 0) return length < 0 && (errno == EAGAIN || errno == EINTR);
    error_text_.append(errors_buffer_.data(), static_cast<std::size_t>(length));
    if (error_text_.size() > most_error_text) error_text_.erase(0, error_text_.size() - most_error_text);
  }
}

std::string AgentLink::last_words() {
  if (errors_.is_open()) (void)read_errors();
  constexpr const char* space = " \t\r\n";
  const std::size_t end = error_text_.find_last_not_of(space);
  if (end == std::string::npos) return {};
  const std::size_t newline = error_text_.find_last_of("\r\n", end);
  const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
  return error_text_.substr(begin, end - begin + 1);
}

void AgentLink::tell_end_if_complete() {
  if (!reaped_ || !stream_ended_ || std::exchange(ended_, true)) return;
  timer_.cancel();
  asio::error_code ignored;
  upstream_.close(ignored);
  listener_.on_end(*this);
}

}  // namespace bfrun
