#pragma once
/// @file config.hpp  The BLUEFOG_* environment variables, read once.

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <bluefog/export.hpp>

namespace bluefog {

/// So many ranks a job may have.
inline constexpr int most_ranks = 4096;

/// Settings of one Context. A value: change a field before you pass it on.
struct BLUEFOG_API Config {
  /// BLUEFOG_RANK, BLUEFOG_SIZE: which rank of how many; set by bfrun. Without them: what torchrun, mpirun or
  /// srun say; else a job of one.
  int rank = 0;
  /// Number of ranks of the job.
  int size = 1;
  /// BLUEFOG_RENDEZVOUS: where the ranks meet: "unix:@name", as bfrun sets it; or "host:port" or
  /// "host:first-last", TCP ports at one of which rank 0's host listens. Without it, MASTER_ADDR with the
  /// eight ports behind MASTER_PORT. Empty: on this host.
  std::string rendezvous;
  /// BLUEFOG_JOB_ID: tells the job from others at the same place. From torchrun, mpirun or srun if not set.
  std::string job_id;
  /// BLUEFOG_RESTART_COUNT: how often the job was started before; TORCHELASTIC_RESTART_COUNT under torchrun.
  /// On a host, only ranks of the same count meet.
  int restart_count = 0;
  /// BLUEFOG_JOB_KEY_FILE: a file of 32 to 4,096 bytes, the same on all hosts, that only its owner may read:
  /// the secret by which ranks of several hosts know each other. Without bfrun, and without it, all ranks
  /// must be of one host.
  std::string job_key_file;
  /// BLUEFOG_RANKS_OF_HOSTS: how many ranks each host has, in the order of the ranks, as in "4,4"; set by
  /// bfrun. Empty: all are of one host.
  std::vector<int> ranks_of_hosts;
  /// BLUEFOG_NODES_PER_MACHINE: pretend that every so many consecutive ranks are a machine of their own.
  std::optional<int> nodes_per_machine;
  /// BLUEFOG_TRANSPORT: what carries tensors between ranks; equal on all of them. "auto": shared memory
  /// inside a machine, also a pretended one, and TCP between machines. "shm": shared memory between all
  /// ranks. "tcp": TCP between all.
  std::string transport = "auto";
  /// BLUEFOG_LISTEN: IP addresses of this host, separated by commas, at which a rank listens for TCP
  /// connections of others; they try them in this order. bfrun sets it in jobs of several hosts. Empty: the
  /// loopback device, which no other host can reach.
  std::string listen;
  /// BLUEFOG_PORT_RANGE: ports for that, as in "5000-5100"; each rank takes a free one. Empty: any free port.
  std::string port_range;
  /// BLUEFOG_TCP_CONNECTIONS: connections for tensors to each peer, beside one for small messages; 1 to 64.
  /// More pay on long or lossy paths.
  int tcp_connections = 1;
  /// BLUEFOG_TCP_CONGESTION: congestion control, as the kernel calls it ("cubic", "reno", "bbr"). "auto": the
  /// kernel's default, but cubic or reno instead of bbr where the round trip is short, and bbr leaves some of
  /// the link unused.
  std::string tcp_congestion = "auto";
  /// BLUEFOG_TCP_BUFFER (bytes): size of each socket's send and receive buffer; 0: as the kernel sizes them.
  std::size_t tcp_buffer = 0;
  /// BLUEFOG_ENCRYPT: TLS 1.3 on the connections for tensors too; equal on all ranks. Those for small
  /// messages are always encrypted.
  bool encrypt = false;
  /// BLUEFOG_START_TIMEOUT (seconds): until all ranks have joined; and for reaching a peer by TCP.
  std::chrono::milliseconds start_timeout = std::chrono::seconds(120);
  /// BLUEFOG_OP_TIMEOUT (seconds): an operation errs after this although all its peers live.
  std::chrono::milliseconds op_timeout = std::chrono::minutes(30);
  /// BLUEFOG_HEARTBEAT (seconds): between two signs of life of a rank, which a thread of its own gives. Ranks
  /// of a host that see none of another for five such times kill it, ranks of other hosts close their
  /// connections, and operations that need it throw PeerLost. Raise it before you stop a rank in a debugger.
  std::chrono::milliseconds heartbeat = std::chrono::seconds(1);
  /// BLUEFOG_STALL_WARNING (seconds): warn about a live but slow peer after this, and again after each such
  /// time: what is missing, of whom, and which calls both sides are in.
  std::chrono::milliseconds stall_warning = std::chrono::seconds(60);
  /// BLUEFOG_UNDO_LOG: a rank that dies in the middle of an operation leaves no tensor of another half mixed.
  /// Operations in place on shared memory with `meet` then complete without it; others restore their tensor
  /// before they throw PeerLost. Off: after PeerLost, tensors of operations in place hold some elements mixed
  /// and others not.
  bool undo_log = true;
  /// BLUEFOG_ARENA_SIZE (bytes): address space reserved for shared memory; 0: the machine's memory. Costs
  /// nothing until used.
  std::size_t arena_size = 0;
  /// BLUEFOG_TIMELINE: prefix of the timeline files, "<prefix><rank>.json"; empty: no timeline.
  std::string timeline;
  /// BLUEFOG_LOG_LEVEL: trace, debug, info, warning, error, fatal.
  std::string log_level = "warning";
  /// BLUEFOG_LOG_HIDE_TIME: log lines without time stamps.
  bool log_hide_time = false;
  /// BLUEFOG_SIGUSR1: SIGUSR1 makes a rank write to its log which operations it has in flight and what they
  /// wait for; unless the program handles or ignores that signal when it joins. 0: leave the signal alone.
  bool report_on_sigusr1 = true;
  /// BLUEFOG_STORE: "plain", "streaming" or "auto" (measured when the arena is made).
  std::string store = "auto";
  /// BLUEFOG_BUCKET_SIZE (bytes): largest bucket of parameters that optimizers lay out.
  std::size_t bucket_size = std::size_t{16} << 20;
  /// BLUEFOG_FUSION_THRESHOLD (bytes): non-blocking operations on tensors of at most 64 KiB wait for each
  /// other, until together they have so many bytes, somebody waits or polls, or 0.2 ms have passed. What they
  /// tell the peers then goes together. 0: none waits.
  std::size_t fusion_threshold = std::size_t{8} << 20;
  /// BLUEFOG_STAGING, of the Python front end: "auto" (tensors of a GPU go through pinned shared memory) or
  /// "always" (those of the CPU too, to test that way).
  std::string staging = "auto";

  /// Reads the environment. Unknown BLUEFOG_* names get one warning each.
  /// @throws InvalidArgument for a value that cannot be read, naming the variable
  [[nodiscard]] static Config from_environment();
  /// Every variable with its value, for `bfrun --verbose`.
  [[nodiscard]] std::map<std::string, std::string> to_map() const;
};

}  // namespace bluefog
