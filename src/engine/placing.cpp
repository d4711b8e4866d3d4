#include "engine/placing.hpp"

#include <bluefog/error.hpp>

#include "base/key_file.hpp"
#include "base/log.hpp"
#include "membership/muster.hpp"

namespace bluefog::engine {

bool has_rendezvous(const Config& config) {
  return config.rendezvous.rfind("unix:", 0) == 0;
}

Config placed(const Config& config) {
  membership::MusterCall call;
  call.rank = config.rank;
  call.size = config.size;
  call.job_id = config.job_id;
  call.restart_count = config.restart_count;
  if (!config.rendezvous.empty()) call.point = membership::parse_meeting_point(config.rendezvous);
  if (!config.job_key_file.empty()) call.key = base::read_key_file(config.job_key_file);
  call.sockets.heartbeat = config.heartbeat;
  call.timeout = config.start_timeout;
  const membership::Placement placement = membership::muster(call);
  Config found = config;
  found.rendezvous = placement.rendezvous;
  found.ranks_of_hosts.clear();
  if (placement.ranks_of_hosts.size() > 1) found.ranks_of_hosts = placement.ranks_of_hosts;
  if (found.listen.empty()) found.listen = placement.listen;
  log::debug("the ranks of a job of " + std::to_string(placement.ranks_of_hosts.size()) +
             (placement.ranks_of_hosts.size() == 1 ? " host" : " hosts") + " meet at " + found.rendezvous);
  return found;
}

}  // namespace bluefog::engine
