#include "job.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "addresses.hpp"
#include "agent/descendants.hpp"
#include "agent/rank_process.hpp"
#include "exit_codes.hpp"
#include "lost_host.hpp"
#include "meeting.hpp"
#include "report.hpp"
#include "text_writer.hpp"
#include "times.hpp"

namespace bfrun {
namespace {

bool is_ignored(int signal) {
  struct sigaction current {};
  return ::sigaction(signal, nullptr, &current) == 0 && current.sa_handler == SIG_IGN;
}

}  // namespace

class Job::Impl : public AgentLink::Listener {
 public:
  Impl(JobDescription description, const std::vector<HostRanks>& hosts, std::vector<AgentProcess> agents,
       std::chrono::milliseconds start_timeout, std::set<pid_t> bystanders)
      : description_(std::move(description)),
        start_timeout_(start_timeout),
        bystanders_(std::move(bystanders)),
        names_hosts_(hosts.size() > 1 || !hosts.front().local),
        signals_(io_),
        timer_(io_),
        watch_timer_(io_),
        writer_([this] { asio::post(io_, [this] { grant_what_waited(); }); }),
        meeting_(hosts,
                 [this](std::size_t host, const std::string& order) { hosts_[host].link->send(order); }) {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      hosts_.emplace_back();
      hosts_.back().link = std::make_unique<AgentLink>(io_, hosts[i], std::move(agents[i]), *this);
      for (int rank = 0; rank < hosts[i].ranks; ++rank) {
        hosts_.back().living_ranks.insert(hosts[i].first_rank + rank);
      }
    }
  }

  int run() {
    writer_.start();
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) signals_.add(signal);
    if (!is_ignored(SIGHUP)) signals_.add(SIGHUP);  // nohup bfrun ...
    wait_for_signal();
    for (const Host& host : hosts_) host.link->start();
    wait_for_greetings();
    look_for_ends();  // of those that ended before the signal was waited for
    io_.run();
    return exit_code_;
  }

 private:
  enum class Phase {
    starting,  ///< no agent has been told what to do
    running,
    stopping,
    finishing,  ///< every agent has ended, output may be left
  };

  struct Host {
    std::unique_ptr<AgentLink> link;
    std::optional<Greeting> greeting;
    std::set<int> living_ranks;
    bool finished = false;
    int silent_ticks = 0;
    std::set<int> closed_targets;
    std::size_t not_granted = 0;
  };

  Host& host_of(const AgentLink& link) {
    return *std::find_if(hosts_.begin(), hosts_.end(),
                         [&](const Host& host) { return host.link.get() == &link; });
  }

  [[nodiscard]] bool any_rank_lives() const {
    return std::any_of(hosts_.begin(), hosts_.end(),
                       [](const Host& host) { return !host.living_ranks.empty(); });
  }
  [[nodiscard]] bool keeps_going() const { return description_.on_rank_death != OnRankDeath::stop; }
  /// Whether a rank that ends so has told why itself.
  [[nodiscard]] bool is_told(int wait_status) const {
    return description_.on_rank_death == OnRankDeath::tell && WIFEXITED(wait_status) &&
           WEXITSTATUS(wait_status) == exit_code_of_failures;
  }

  // ---- signals

  void wait_for_signal() {
    signals_.async_wait([this](const asio::error_code& error, int signal) {
      if (error) return;
      if (signal == SIGCHLD) {
        look_for_ends();
      } else {
        on_signal_from_user(signal);
      }
      wait_for_signal();
    });
  }

  void look_for_ends() {
    for (const Host& host : hosts_) host.link->look_for_end();
  }

  void on_signal_from_user(int signal) {
    if (phase_ == Phase::finishing) give_up_output(128 + signal);  // whoever reads it does not
    interrupted_ = true;
    if (phase_ == Phase::stopping) return end_now();
    exit_code_ = 128 + signal;
    report("received signal " + describe_signal(signal) + "; the job is stopped");
    if (phase_ == Phase::starting) return abandon_start();
    stop(signal);
  }

  // ---- starting

  void wait_for_greetings() {
    after(start_timeout_, [this] {
      for (const Host& host : hosts_) {
        if (!host.greeting) return fail_to_start(host, "no answer within " + in_seconds(start_timeout_));
      }
    });
  }

  void on_greeting(Host& host, const Greeting& greeting) {
    if (phase_ != Phase::starting || host.greeting) return;
    if (const std::string problem = why_unfit(greeting); !problem.empty())
      return fail_to_start(host, problem);
    host.greeting = greeting;
    const bool complete = std::all_of(hosts_.begin(), hosts_.end(),
                                      [](const Host& other) { return other.greeting.has_value(); });
    if (complete) send_descriptions();
  }

  void send_descriptions() {
    std::vector<HostRanks> ranks;
    std::vector<Greeting> greetings;
    for (const Host& host : hosts_) {
      ranks.push_back(host.link->host());
      greetings.push_back(*host.greeting);
    }
    std::vector<std::string> bytes;
    try {
      const std::vector<std::string> addresses =
          choose_addresses(ranks, greetings, description_.network_interface);
      bytes = descriptions(description_, ranks, addresses, greetings.front().free_port);
    } catch (const bluefog::InvalidArgument& error) {
      exit_code_ = exit_code_of_usage_errors;
      report(error.what());
      return abandon_start();
    }
    phase_ = Phase::running;
    timer_.cancel();
    for (std::size_t i = 0; i < hosts_.size(); ++i) hosts_[i].link->send(std::move(bytes[i]));
    if (description_.sign_of_life_ms > 0) watch();
  }

  void fail_to_start(const Host& host, const std::string& why) {
    exit_code_ = exit_code_of_failures;
    report("cannot start " + describe_ranks(host.link->host()) + " on " + host.link->host().name + ": " +
           why);
    abandon_start();
  }

  // Agents that were told nothing end with their orders; who has not even answered may not.
  void abandon_start() {
    phase_ = Phase::stopping;
    for (const Host& host : hosts_) {
      host.link->close_orders();
      if (!host.greeting) host.link->kill();
    }
    after(patience_with_orders, [this] { kill_all(); });
  }

  // ---- what agents say

  void on_event(AgentLink& link, const Event& event) override {
    Host& host = host_of(link);
    if (const auto* greeting = std::get_if<Greeting>(&event)) on_greeting(host, *greeting);
    if (const auto* end = std::get_if<RankEnded>(&event)) on_end_of_rank(host, *end);
    if (const auto* failure = std::get_if<StartFailed>(&event)) on_failed_start(host, *failure);
    if (const auto* note = std::get_if<Note>(&event)) report(prefix(host) + note->text);
    if (std::holds_alternative<HostFinished>(event)) host.finished = true;
    if (const auto* waiting = std::get_if<RankWaits>(&event))
      meeting_.on_waiting(host.link->host(), *waiting);
    if (const auto* left = std::get_if<RankLeft>(&event)) meeting_.on_left(host.link->host(), *left);
  }

  void on_end_of_rank(Host& host, const RankEnded& end) {
    if (host.living_ranks.erase(end.rank) == 0) return;
    if (end.wait_status == 0) {
      any_succeeded_ = true;
    } else if (phase_ == Phase::running) {
      if (!is_told(end.wait_status)) tell_of_end(host, end);
      fail(exit_code_of(end.wait_status));
    }
  }

  void tell_of_end(const Host& host, const RankEnded& end) {
    const std::string& name = host.link->host().name;
    const std::string what = describe_end(end.wait_status);
    meeting_.tell_loss(host.link->host(), end.rank, what + " on " + name);
    report("rank " + std::to_string(end.rank) + (names_hosts_ ? " on " + name : "") + " (pid " +
           std::to_string(end.pid) + ") " + what + consequence());
  }

  void on_failed_start(Host& host, const StartFailed& failure) {
    host.finished = true;
    if (phase_ == Phase::starting) return fail_to_start(host, failure.reason);
    if (phase_ != Phase::running) return;
    report(prefix(host) + failure.reason);
    exit_code_ = failure.exit_code;
    end_now();
  }

  void on_end(AgentLink& link) override {
    Host& host = host_of(link);
    const std::set<int> lost = std::exchange(host.living_ranks, {});
    meeting_.on_end(link.host());
    if (!host.finished && phase_ == Phase::starting) {
      fail_to_start(host, why_no_answer(link));
    } else if (!host.finished && phase_ == Phase::running) {
      const std::string loss = describe_loss(host);
      for (const int rank : lost) meeting_.tell_loss(link.host(), rank, loss);
      report(loss + consequence());
      fail(WIFSIGNALED(link.wait_status()) ? exit_code_of(link.wait_status()) : exit_code_of_failures);
    }
    if (std::all_of(hosts_.begin(), hosts_.end(),
                    [](const Host& other) { return other.link->has_ended(); })) {
      finish();
    }
  }

  std::string describe_loss(const Host& host) const {
    std::optional<std::chrono::milliseconds> silence;
    if (host.silent_ticks >= silent_ticks_until_lost) {
      silence = silent_ticks_until_lost * time_between_signs_of_life();
    }
    const std::string why = why_lost(*host.link, silence);
    if (!names_hosts_) return why;
    return host.link->host().name + " (" + describe_ranks(host.link->host()) + ") is lost: " + why;
  }

  void on_output(AgentLink& link, int target, std::string lines) override {
    Host& host = host_of(link);
    host.not_granted += lines.size();
    const TextWriter::State state = writer_.write(target, std::move(lines));
    if (state == TextWriter::State::broken && host.closed_targets.insert(target).second) {
      link.order(static_cast<unsigned char>(order_closed + target));
    }
    if (state != TextWriter::State::full) link.grant(std::exchange(host.not_granted, 0));
  }

  void grant_what_waited() {
    for (Host& host : hosts_) host.link->grant(std::exchange(host.not_granted, 0));
  }

  // ---- ending

  [[nodiscard]] const char* consequence() const {
    if (!keeps_going()) return "; the job is stopped";
    return any_rank_lives() ? "; the other ranks go on" : "; no rank is left";
  }

  void fail(int exit_code) {
    if (exit_code_ == 0) exit_code_ = exit_code;
    if (!keeps_going()) stop(SIGTERM);
  }

  void stop(int signal) {
    phase_ = Phase::stopping;
    order(static_cast<unsigned char>(signal));
    after(patience_with_stopping_hosts, [this] {
      for (const Host& host : hosts_) {
        if (host.link->has_ended() || host.link->host().local) continue;
        report(host.link->host().name + " does not say that its ranks have ended; its connection is closed");
        host.link->kill();
      }
    });
  }

  void end_now() {
    phase_ = Phase::stopping;
    order(order_end_now);
    after(patience_with_orders, [this] { kill_all(); });
  }

  void order(unsigned char order) {
    for (const Host& host : hosts_) host.link->order(order);
  }

  void kill_all() {
    for (const Host& host : hosts_) host.link->kill();
  }

  [[nodiscard]] std::chrono::milliseconds time_between_signs_of_life() const {
    return std::chrono::milliseconds(description_.sign_of_life_ms);
  }

  void watch() {
    watch_timer_.expires_after(time_between_signs_of_life());
    watch_timer_.async_wait([this](const asio::error_code& error) {
      if (error) return;
      for (Host& host : hosts_) {
        // Counted in ticks of our own: while bfrun is stopped, nobody ages.
        host.silent_ticks = host.link->was_heard_of() || host.link->host().local ? 0 : host.silent_ticks + 1;
        if (host.silent_ticks == silent_ticks_until_lost) host.link->kill();
      }
      watch();
    });
  }

  void finish() {
    // The job went on without its dead, and came to a good end.
    const bool forgets_the_dead = description_.on_rank_death == OnRankDeath::keep;
    if (forgets_the_dead && phase_ == Phase::running && any_succeeded_) exit_code_ = 0;
    phase_ = Phase::finishing;
    watch_timer_.cancel();
    timer_.cancel();
    writer_.finish([this] { asio::post(io_, [this] { io_.stop(); }); });
    if (interrupted_) after(patience_with_reader, [this] { give_up_output(exit_code_); });
  }

  // The writing thread stands in a system call, so nothing can be left in order.
  [[noreturn]] void give_up_output(int exit_code) {
    end_descendants(bystanders_, patience_with_killed_processes);
    ::_exit(exit_code);
  }

  // ---- helpers

  template <typename Action>
  void after(std::chrono::milliseconds delay, Action action) {
    timer_.expires_after(delay);
    timer_.async_wait([action](const asio::error_code& error) {
      if (!error) action();
    });
  }

  [[nodiscard]] std::string prefix(const Host& host) const {
    return names_hosts_ ? host.link->host().name + ": " : "";
  }

  void report(const std::string& text) { (void)writer_.write(STDERR_FILENO, report_line(text)); }

  const JobDescription description_;
  const std::chrono::milliseconds start_timeout_;
  const std::set<pid_t> bystanders_;
  const bool names_hosts_;
  asio::io_context io_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  asio::steady_timer watch_timer_;
  TextWriter writer_;
  std::vector<Host> hosts_;
  Meeting meeting_;
  Phase phase_ = Phase::starting;
  bool interrupted_ = false;
  bool any_succeeded_ = false;
  int exit_code_ = 0;
};

Job::Job(JobDescription description, const std::vector<HostRanks>& hosts, std::vector<AgentProcess> agents,
         std::chrono::milliseconds start_timeout, std::set<pid_t> bystanders)
    : impl_(std::make_unique<Impl>(std::move(description), hosts, std::move(agents), start_timeout,
                                   std::move(bystanders))) {}

Job::~Job() = default;

int Job::run() {
  return impl_->run();
}

}  // namespace bfrun
