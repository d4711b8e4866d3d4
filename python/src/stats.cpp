#include <chrono>
#include <string>

#include <bluefog/stats.hpp>

#include "bindings.hpp"
#include "context.hpp"

namespace bluefog::python {
namespace {

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

nb::dict dict_of(const PeerStats& peer) {
  nb::dict entry;
  entry["path"] = nb::str(peer.path.c_str());
  entry["operations"] = peer.operations;
  entry["bytes_received"] = peer.bytes_received;
  entry["bytes_sent"] = peer.bytes_sent;
  entry["wait_seconds"] = seconds(peer.waited);
  return entry;
}

nb::dict dict_of(const OperationStats& operation) {
  nb::dict entry;
  entry["count"] = operation.count;
  entry["failed"] = operation.failed;
  entry["bytes"] = operation.bytes;
  entry["seconds"] = seconds(operation.time);
  return entry;
}

nb::dict dict_of(const MemoryStats& memory) {
  nb::dict entry;
  entry["reserved"] = memory.reserved;
  entry["populated"] = memory.populated;
  entry["allocated"] = memory.allocated;
  return entry;
}

}  // namespace

nb::dict stats_of(const PyContext& context) {
  Stats stats;
  {
    const nb::gil_scoped_release free_gil;  // a thread may be in the middle of mixing
    stats = context.engine().stats();
  }
  nb::dict peers;
  for (const PeerStats& peer : stats.peers) peers[nb::int_(peer.rank)] = dict_of(peer);
  nb::dict operations;
  for (const auto& [name, operation] : stats.operations)
    operations[nb::str(name.c_str())] = dict_of(operation);
  nb::dict result;
  result["peers"] = peers;
  result["operations"] = operations;
  result["in_flight"] = stats.in_flight;
  result["memory"] = dict_of(stats.memory);
  return result;
}

}  // namespace bluefog::python
