#include "transport/tcp/dialer.hpp"

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <sys/socket.h>

#include "transport/tcp/alarm.hpp"

namespace bluefog::transport::tcp {

namespace {

Dialled problem_at(const Endpoint& endpoint, const std::string& what,
                   Dialled::Outcome outcome = Dialled::Outcome::Failed) {
  return {outcome, endpoint.to_string(), endpoint.to_string() + ": " + what, {}};
}

Dialled problem_of_connect(const Endpoint& endpoint, int error) {
  const auto outcome = error == ECONNREFUSED ? Dialled::Outcome::Deserted : Dialled::Outcome::Failed;
  return problem_at(endpoint, std::generic_category().message(error), outcome);
}

struct Answer {
  std::optional<Verdict> verdict;
  std::string problem;  ///< if there is none
  base::JobKey secret;  ///< of the connection
};

Answer no_answer(const std::string& problem) {
  return {std::nullopt, problem, {}};
}

asio::awaitable<Answer> ask(Socket& socket, Hello hello, const base::JobKey& key) {
  const std::string hung_up = "it ends the connection before it has proved to be a rank of this job";
  const std::string stranger = "whoever listens there does not know the key of this job";
  asio::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const HelloBytes hello_text = encode(hello);
  co_await asio::async_write(socket.stream(), asio::buffer(hello_text), token);
  if (error) co_return no_answer(hung_up);
  ChallengeBytes challenge{};
  co_await asio::async_read(socket.stream(), asio::buffer(challenge), token);
  if (error) co_return no_answer(hung_up);
  if (!is_authentic(key, hello_text, challenge)) co_return no_answer(stranger);
  const ProofBytes proof = make_proof(key, hello_text, challenge);
  co_await asio::async_write(socket.stream(), asio::buffer(proof), token);
  if (error) co_return no_answer(hung_up);
  VerdictBytes verdict{};
  co_await asio::async_read(socket.stream(), asio::buffer(verdict), token);
  if (error) co_return no_answer(hung_up);
  co_return Answer{read_verdict(key, verdict, hello_text, challenge), stranger,
                   connection_secret(key, hello_text, challenge)};
}

asio::awaitable<Dialled> introduce(const Endpoint& endpoint, Hello hello, const base::JobKey& key,
                                   std::shared_ptr<Socket> socket) {
  base::fill_random(hello.nonce);
  const Answer answer = co_await ask(*socket, hello, key);
  if (!answer.verdict) co_return problem_at(endpoint, answer.problem);
  if (!socket->is_open()) co_return problem_at(endpoint, "no answer in time");
  switch (*answer.verdict) {
    case Verdict::Accepted:
      break;
    case Verdict::Leaving:
      co_return problem_at(endpoint, "it leaves the job", Dialled::Outcome::Leaving);
    case Verdict::OtherEncryption:
      co_return problem_at(endpoint, "it differs in BLUEFOG_ENCRYPT", Dialled::Outcome::OtherEncryption);
    case Verdict::Refused:
      co_return problem_at(endpoint, "it refuses the connection", Dialled::Outcome::Refused);
  }
  Dialled dialled{Dialled::Outcome::Accepted, endpoint.to_string(), {}, {std::move(socket), nullptr}};
  const std::string problem = co_await open_as(TlsSession::End::Dialer, dialled.opened, hello, answer.secret);
  if (!problem.empty()) co_return problem_at(endpoint, problem);
  co_return dialled;
}

}  // namespace

asio::awaitable<Dialled> dial(asio::io_context& io, Endpoint endpoint, Hello hello, const base::JobKey& key,
                              const SocketOptions& options, std::chrono::nanoseconds patience,
                              std::weak_ptr<Socket>& attempt) {
  base::UniqueFd fd(
      ::socket(endpoint.is_v6 != 0 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) co_return problem_at(endpoint, std::generic_category().message(errno));
  configure(fd.get(), options, endpoint.is_loopback());
  const SocketName name = name_of(endpoint);
  const int connecting = ::connect(fd.get(), name.get(), name.length) == 0 ? 0 : errno;
  if (connecting != 0 && connecting != EINPROGRESS) co_return problem_of_connect(endpoint, connecting);
  const auto socket = std::make_shared<Socket>(io, std::move(fd));
  attempt = socket;
  const Alarm alarm(io, socket, patience);
  if (connecting == EINPROGRESS) {
    asio::error_code error;
    co_await socket->stream().async_wait(asio::posix::stream_descriptor::wait_write,
                                         asio::redirect_error(asio::use_awaitable, error));
    if (error || !socket->is_open()) co_return problem_at(endpoint, "no answer");
    int result = 0;
    socklen_t length = sizeof(result);
    ::getsockopt(socket->fd(), SOL_SOCKET, SO_ERROR, &result, &length);
    if (result != 0) co_return problem_of_connect(endpoint, result);
  }
  co_return co_await introduce(endpoint, hello, key, socket);
}

}  // namespace bluefog::transport::tcp
