#include "environment.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/cpu.hpp"
#include "base/unique_fd.hpp"

namespace bfrun {
namespace {

// For torch.distributed beside us. Between here and its use another process may take the port; torchrun
// accepts that too.
int free_tcp_port() {
  const bluefog::base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (!socket.valid() || ::bind(socket.get(), generic, length) != 0 ||
      ::getsockname(socket.get(), generic, &length) != 0) {
    throw std::system_error(errno, std::generic_category(), "no free TCP port on 127.0.0.1");
  }
  return ntohs(address.sin_port);
}

int threads_per_rank(const Options& options) {
  if (options.bind_to == BindTo::core) return 1;
  return std::max(1, bluefog::base::usable_cpus() / options.num_proc);
}

}  // namespace

Environment environment_of_job(const Options& options, Environment user, const std::string& rendezvous) {
  Environment environment = std::move(user);
  const std::string size = std::to_string(options.num_proc);
  for (const char* name :
       {"BLUEFOG_SIZE", "BLUEFOG_LOCAL_SIZE", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "PMI_SIZE"}) {
    environment[name] = size;
  }
  environment["BLUEFOG_RENDEZVOUS"] = rendezvous;
  environment["MASTER_ADDR"] = "127.0.0.1";
  environment["MASTER_PORT"] = std::to_string(free_tcp_port());
  // With several spinning OpenMP threads a rank, small loops take a hundred times as long once ranks share
  // CPUs.
  environment.emplace("OMP_NUM_THREADS", std::to_string(threads_per_rank(options)));
  environment.emplace("OMP_WAIT_POLICY", "passive");
  // Python would keep the lines of a rank back until they fill a block, for tagged output is no terminal.
  if (options.tag_output) environment.emplace("PYTHONUNBUFFERED", "1");
  if (options.verbose) environment["BLUEFOG_LOG_LEVEL"] = "debug";
  if (!options.timeline_filename.empty()) environment["BLUEFOG_TIMELINE"] = options.timeline_filename;
  return environment;
}

void set_rank(Environment& environment, int rank) {
  const std::string text = std::to_string(rank);
  for (const char* name : {"BLUEFOG_RANK", "BLUEFOG_LOCAL_RANK", "RANK", "LOCAL_RANK", "PMI_RANK"}) {
    environment[name] = text;
  }
}

}  // namespace bfrun
